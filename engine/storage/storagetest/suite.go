// Package storagetest is the conformance suite of the contract in package storage. Every implementation runs it:
//
//	storagetest.Run(t, func(t *testing.T, c storagetest.Config) storage.Store { … })
//
// The suite knows nothing of files, tables or servers. It never sleeps and asserts no durations: what takes time is
// waited for, and time itself comes from a Clock that the test moves.
package storagetest

import (
	"context"
	"testing"
	"time"

	"gatehouse/engine/storage"
)

// Config is what a test wants of the store that is opened for it.
type Config struct {
	// Dir is where the store keeps its data, a directory of the test. Opened again with the same Dir, it holds the
	// same.
	Dir string
	// Observers are to be told of commits.
	Observers []storage.Observer
	// Clock is to be the store's time; nil is the wall clock.
	Clock *Clock
	// WatchEvents is how many events may wait for a watcher; 0 is the store's own default.
	WatchEvents int
}

// Open opens a store that compacts nothing by itself. It fails the test if it cannot, and registers a cleanup that
// closes the store (closing twice is allowed) and checks that what it leaves behind is sound.
type Open func(t *testing.T, c Config) storage.Store

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	groups := map[string][]check{
		"writes":     writes,
		"ranges":     ranges,
		"watches":    watches,
		"compaction": compactions,
		"expiry":     expiries,
		"lifetime":   lifetimes,
		"scripts":    scripts,
		"together":   together,
	}
	for name, checks := range groups {
		t.Run(name, func(t *testing.T) {
			for _, c := range checks {
				t.Run(c.sentence, func(t *testing.T) {
					t.Parallel()
					c.run(&env{T: t, open: open, dir: t.TempDir()})
				})
			}
		})
	}
}

// check is one sentence of the contract.
type check struct {
	sentence string
	run      func(e *env)
}

// env is what a check works with.
type env struct {
	*testing.T
	open Open
	dir  string
}

// store opens a store in the test's directory.
func (e *env) store(configure ...func(*Config)) storage.Store {
	e.Helper()
	c := Config{Dir: e.dir}
	for _, f := range configure {
		f(&c)
	}
	return e.open(e.T, c)
}

// patience bounds what must happen soon, so that a store that hangs fails its test instead of the whole run.
const patience = 60 * time.Second

// soon is a context for one step of a test.
func (e *env) soon() context.Context {
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	e.Cleanup(cancel)
	return ctx
}

// ok fails the test on an error.
func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}
