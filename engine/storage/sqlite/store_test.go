package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
	"gatehouse/engine/storage/storagetest"
)

func TestConformance(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, c storagetest.Config) storage.Store {
		options := sqlite.Options{Observers: c.Observers, WatchEvents: c.WatchEvents, Retention: -1}
		if c.Clock != nil {
			options.Clock = c.Clock
		}
		return open(t, c.Dir, options)
	})
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

// mustBeSound closes a store and checks the whole database.
func mustBeSound(t *testing.T, s *sqlite.Store, path string) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	// The test's own context has ended when its cleanups run.
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
