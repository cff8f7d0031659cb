// Package metertest holds the guests by which metering is tested and measured: some that work, and some that never end. The .wasm
// files are what wat2wasm makes of the .wat files beside them.
package metertest

import (
	"bytes"
	_ "embed"
)

//go:embed work.wasm
var work []byte

//go:embed endless.wasm
var endless []byte

// Work returns a module each of whose WorkFunctions does a number of rounds (i64) of some work and returns an i64 that depends on
// all of it. bulk_fill and bulk_copy are memory.fill and memory.copy.
func Work() []byte { return bytes.Clone(work) }

// WorkFunctions are the functions of Work that take rounds.
func WorkFunctions() []string {
	return []string{"count", "scan", "short", "fib", "calls", "memory_heavy", "copy_64", "copy_short", "copy_1M"}
}

// Endless returns a module whose functions, EndlessFunctions and RecursiveFunctions, never come to an end by themselves. They
// take nothing and return nothing.
func Endless() []byte { return bytes.Clone(endless) }

// EndlessFunctions are those functions of Endless that run until they are stopped.
func EndlessFunctions() []string {
	return []string{"loop", "nested", "loop_with_parameters", "chase", "division", "wide_recursion", "fill", "copy", "table_fill",
		"memory_grow"}
}

// RecursiveFunctions are those functions of Endless that run until there is no stack left.
func RecursiveFunctions() []string { return []string{"deep_recursion", "deep_indirect", "wide_frames"} }
