// Package guesttest holds the guests that tests of the host run: some that work, and one for each way a guest can fail.
// Their sources are the .wat files of plugins/testdata; the .wasm files beside them are what wat2wasm makes of these.
package guesttest

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Dir is where the fixtures are.
func Dir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "testdata")
}

// Read returns the guest that testdata/name.wat describes.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(Dir(), name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// Allow returns the guest that allows everything with the warning "build-x", x being build.
func Allow(t testing.TB, build byte) []byte {
	t.Helper()
	wasm := Read(t, "allow")
	changed := bytes.Replace(wasm, []byte("build-a"), []byte{'b', 'u', 'i', 'l', 'd', '-', build}, 1)
	if build != 'a' && bytes.Equal(wasm, changed) {
		t.Fatal("allow.wat does not hold the text build-a any more")
	}
	return changed
}

// When a misbehaving guest is found out.
type When int

const (
	// Loading: the host refuses the module.
	Loading When = iota
	// Calling: the host loads the module, and its first call fails.
	Calling
)

// Misbehaving is a guest that fails.
type Misbehaving struct {
	// Guest names the fixture, or what was done to one.
	Guest string
	Wasm  []byte
	When  When
	// Cause is part of what the host must say.
	Cause string
}

// AllMisbehaving returns a guest for each way of failing. They fail under limits of 4 MiB memory and 1 MiB output.
func AllMisbehaving(t testing.TB) []Misbehaving {
	t.Helper()
	whole := Read(t, "allow")
	guests := []Misbehaving{
		{Guest: "empty", Wasm: []byte{}, Cause: "is empty"},
		{Guest: "not-wasm", Wasm: []byte("#!/bin/sh\nexit 1\n"), Cause: "is no WebAssembly module"},
		{Guest: "truncated", Wasm: whole[:len(whole)/2], Cause: "is truncated or damaged"},
		{Guest: "component", Wasm: []byte("\x00asm\x0d\x00\x01\x00"), Cause: "is a WebAssembly component"},
		{Guest: "future", Wasm: []byte("\x00asm\x02\x00\x00\x00"), Cause: "has the WebAssembly version 2"},
	}
	for _, g := range fixtures() {
		g.Wasm = Read(t, g.Guest)
		guests = append(guests, g)
	}
	return guests
}

func fixtures() []Misbehaving {
	return []Misbehaving{
		{Guest: "no-marker", Cause: `lacks the marker export "gatehouse_abi_v1"`},
		{Guest: "other-abi", Cause: "speaks gatehouse_abi_v9, this server speaks gatehouse_abi_v1"},
		{Guest: "no-alloc", Cause: `does not export the function "alloc" (i32) -> (i32)`},
		{Guest: "no-memory", Cause: "does not export its memory"},
		{Guest: "no-role", Cause: "plays no role"},
		{Guest: "wrong-signature", Cause: `exports "admit" as (i32, i32) -> (i32), the ABI wants (i32, i32) -> (i64)`},
		{Guest: "unknown-module", Cause: "imports the function env.launch"},
		{Guest: "unknown-function", Cause: "imports the function gatehouse.launch, which this server does not have"},
		{Guest: "imported-memory", Cause: "imports the memory env.memory"},
		{Guest: "start-loop", Cause: "starting: deadline of"},
		{Guest: "start-trap", Cause: "starting: the guest trapped: unreachable"},
		{Guest: "initialize-loop", Cause: "starting: deadline of"},
		{Guest: "configure-trap", Cause: "configure: the guest trapped: unreachable"},
		{Guest: "configure-refuse", Cause: "refuses its settings: the tea is cold"},
		{Guest: "memory-declared", Cause: "memory"},
		{Guest: "table-declared", Cause: "has a table of 100000000 entries"},
		{Guest: "trap", When: Calling, Cause: "admit: the guest trapped: unreachable"},
		{Guest: "loop", When: Calling, Cause: "admit: deadline of"},
		{Guest: "alloc-loop", When: Calling, Cause: "alloc: deadline of"},
		{Guest: "deep-recursion", When: Calling, Cause: "admit: the guest trapped: stack overflow"},
		{Guest: "wide-recursion", When: Calling, Cause: "admit: deadline of"},
		{Guest: "sleep", When: Calling, Cause: "admit: deadline of"},
		{Guest: "bad-answer", When: Calling, Cause: "the answer of admit at 2147418112+16 lies outside the guest's memory"},
		{Guest: "edge-answer", When: Calling, Cause: "the answer of admit at 131071+2 lies outside the guest's memory"},
		{Guest: "bad-alloc", When: Calling, Cause: "the buffer from alloc at 2147483647"},
		{Guest: "null-alloc", When: Calling, Cause: "has no memory for a payload of"},
		{Guest: "bad-field", When: Calling, Cause: "field's pointer at 2147418112+16 lies outside"},
		{Guest: "bad-buffer", When: Calling, Cause: "the buffer for an answer at 131056+32 lies outside"},
		{Guest: "giant-answer", When: Calling, Cause: "admit answered 2097152 bytes, its output limit is 1048576"},
		{Guest: "no-answer", When: Calling, Cause: "admit gave no answer"},
		{Guest: "memory-grow", When: Calling, Cause: "admit: the guest trapped: unreachable"},
		{Guest: "table-grow", When: Calling, Cause: "admit: the guest trapped: unreachable"},
		{Guest: "exit", When: Calling, Cause: "admit: the guest exited with code 3"},
		{Guest: "panic", When: Calling, Cause: "admit: the guest trapped: unreachable: panic: index out of range"},
		{Guest: "garbage", When: Calling, Cause: "is no AdmissionReview"},
	}
}
