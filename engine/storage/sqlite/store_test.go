package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
	"gatehouse/engine/storage/storagetest"
)

func TestConformance(t *testing.T) { storagetest.Run(t, openConforming) }

func FuzzOperations(f *testing.F) {
	f.Add([]byte("\x01\x02\x01 a create, \x06\x00\x00 a watch, \x05\x01 a compaction, \x07 a restart"))
	f.Fuzz(func(t *testing.T, script []byte) { storagetest.Play(t, openConforming, script) })
}

func openConforming(t *testing.T, c storagetest.Config) storage.Store {
	options := sqlite.Options{
		Observers: c.Observers, WatchEvents: c.WatchEvents, Retention: -1, ProgressInterval: time.Millisecond,
	}
	if c.Clock != nil {
		options.Clock = c.Clock
	}
	return open(t, c.Dir, options)
}

// open opens the store in a directory, and makes sure at the end of the test that what it leaves behind is sound.
func open(t *testing.T, dir string, options sqlite.Options) *sqlite.Store {
	t.Helper()
	path := filepath.Join(dir, "store.db")
	s, err := sqlite.Open(t.Context(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustBeSound(t, s, path) })
	return s
}

// mustBeSound closes a store and checks the whole database. The test's context has ended when its cleanups run.
func mustBeSound(t *testing.T, s *sqlite.Store, path string) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	ctx := context.WithoutCancel(t.Context())
	again, err := sqlite.Open(ctx, path, sqlite.Options{Retention: -1})
	if err != nil {
		t.Error(err)
		return
	}
	if err := again.Check(ctx); err != nil {
		t.Error(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
