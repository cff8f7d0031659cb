package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-sqlite3"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
	"gatehouse/engine/storage/storagetest"
)

func TestFullDatabaseRefusesWritesAndStaysUsable(t *testing.T) {
	var told int
	s := open(t, t.TempDir(), sqlite.Options{
		MaxBytes: 1 << 20, Retention: -1,
		Observers: []storage.Observer{func(events []storage.Event) { told += len(events) }},
	})
	w, err := s.Watch(t.Context(), storage.WatchRequest{})
	check(t, err)
	defer w.Close()
	put := func(n int) error {
		_, _, err := s.Apply(t.Context(), storage.Write{
			Key: fmt.Sprint(n), Value: make([]byte, 10_000), Expected: storage.AnyRevision,
		})
		return err
	}
	written := 0
	for ; err == nil; written++ {
		err = put(written)
	}
	written--
	var full sqlite3.Error
	if !errors.As(err, &full) || full.Code != sqlite3.ErrFull || !strings.Contains(err.Error(), "store.db") {
		t.Fatalf("after %d writes: %v", written, err)
	}
	if written < 50 {
		t.Errorf("only %d writes fitted", written)
	}
	if got := revisionOf(t, s); got != int64(1+written) || told != written {
		t.Errorf("after %d writes the revision is %d, and observers know %d", written, got, told)
	}
	check(t, s.Healthy())
	for n := range 20 {
		_, _, err := s.Apply(t.Context(), storage.Write{Key: fmt.Sprint(n), Delete: true, Expected: storage.AnyRevision})
		check(t, err)
	}
	check(t, s.Compact(t.Context(), revisionOf(t, s)))
	check(t, put(0))
	events := 0
	for events < written+21 {
		batch, _, err := w.Next(t.Context())
		check(t, err)
		events += len(batch)
	}
	if events != written+21 {
		t.Errorf("the watcher saw %d events of %d", events, written+21)
	}
}

// TestGroupFailsTogether has many writers meet the full database at once: none is told of a commit that did not happen.
func TestGroupFailsTogether(t *testing.T) {
	s := open(t, t.TempDir(), sqlite.Options{MaxBytes: 1 << 20, Retention: -1})
	var mu sync.Mutex
	acknowledged := map[string]int64{}
	var writers sync.WaitGroup
	for i := range 16 {
		writers.Go(func() {
			for n := 0; ; n++ {
				w := storage.Write{Key: fmt.Sprintf("%d/%d", i, n), Value: make([]byte, 3000)}
				item, _, err := s.Apply(t.Context(), w)
				if err != nil {
					return
				}
				mu.Lock()
				acknowledged[item.Key] = item.ModRevision
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	result, err := s.Range(t.Context(), storage.RangeRequest{})
	check(t, err)
	there := map[string]int64{}
	for _, item := range result.Items {
		there[item.Key] = item.ModRevision
	}
	if diff := cmp.Diff(acknowledged, there); diff != "" {
		t.Errorf("what is there differs from what was acknowledged (-acknowledged +there):\n%s", diff)
	}
	if want := int64(1 + len(acknowledged)); result.Revision != want || revisionOf(t, s) != want {
		t.Errorf("revision is %d, want %d", result.Revision, want)
	}
}

func TestFileShrinksAfterCompaction(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, sqlite.Options{Retention: -1})
	value := bytes.Repeat([]byte("x"), 4000)
	var writers sync.WaitGroup
	for i := range 16 {
		writers.Go(func() {
			for n := range 200 {
				_, _, err := s.Apply(t.Context(), storage.Write{
					Key: fmt.Sprint(i, n%3), Value: value, Expected: storage.AnyRevision,
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	before := diskUse(t, dir)
	check(t, s.Compact(t.Context(), revisionOf(t, s)))
	after := diskUse(t, dir)
	if before < 12<<20 || after > 2<<20 {
		t.Errorf("the files went from %d to %d bytes", before, after)
	}
}

func diskUse(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	for _, name := range []string{"store.db", "store.db-wal"} {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		bytes += info.Size()
	}
	return bytes
}

func TestOnlyOneStoreAtATimeHasTheDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	first, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	check(t, err)
	second, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	var inUse *sqlite.InUseError
	if !errors.As(err, &inUse) || inUse.Path != path {
		t.Errorf("the second got %v, %v", second, err)
	}
	// The one that was refused must not have taken the first one's locks away.
	_, _, err = first.Apply(t.Context(), storage.Write{Key: "a"})
	check(t, err)
	check(t, first.Close())
	third, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	check(t, err)
	check(t, third.Close())
}

func TestFilesAreTheirOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "store.db"), nil)
	check(t, os.Chmod(filepath.Join(dir, "store.db"), 0o644))
	s := open(t, dir, sqlite.Options{})
	_, _, err := s.Apply(t.Context(), storage.Write{Key: "secret"})
	check(t, err)
	entries, err := os.ReadDir(dir)
	check(t, err)
	if len(entries) < 3 {
		t.Errorf("there are only %v", entries)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		check(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", entry.Name(), info.Mode())
		}
	}
}

func TestClosingLeavesNoWAL(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, sqlite.Options{})
	_, _, err := s.Apply(t.Context(), storage.Write{Key: "a"})
	check(t, err)
	check(t, s.Close())
	if _, err := os.Stat(filepath.Join(dir, "store.db-wal")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking for the WAL gives %v", err)
	}
}

// TestWriterWhoGivesUp holds the writer in an observer, so that it is known how far a write has come when its context
// ends.
func TestWriterWhoGivesUp(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := open(t, t.TempDir(), sqlite.Options{Retention: -1, Observers: []storage.Observer{func(events []storage.Event) {
		if events[0].Item.Key == "held" {
			entered <- struct{}{}
			<-leave
		}
	}}})
	started := func(key string) (context.CancelFunc, chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, _, err := s.Apply(ctx, storage.Write{Key: key})
			ended <- err
		}()
		return cancel, ended
	}
	giveUpHeld, heldEnded := started("held")
	<-entered
	giveUpHeld()
	if err := <-heldEnded; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "may or may not") {
		t.Errorf("the write that was begun ends with %v", err)
	}
	giveUpWaiting, waitingEnded := started("waiting")
	giveUpWaiting()
	if err := <-waitingEnded; !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "may or may not") {
		t.Errorf("the write that was not begun ends with %v", err)
	}
	close(leave)
	_, _, err := s.Apply(t.Context(), storage.Write{Key: "next"})
	check(t, err)
	result, err := s.Range(t.Context(), storage.RangeRequest{})
	check(t, err)
	var keys []string
	for _, item := range result.Items {
		keys = append(keys, item.Key)
	}
	if diff := cmp.Diff([]string{"held", "next"}, keys); diff != "" {
		t.Error(diff)
	}
}

// TestForeignWriter has another program write into the database behind the store's back, as no lock file can prevent.
func TestForeignWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Retention: -1})
	check(t, err)
	defer s.Close()
	change(t, path, `INSERT INTO history VALUES (2, 'x', 0, 0);
		INSERT INTO versions VALUES (2, 2, 0, x'');
		INSERT INTO current VALUES ('x', 2, 0)`)
	if _, _, err := s.Apply(t.Context(), storage.Write{Key: "a"}); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("the write gives %v", err)
	}
	if err := s.Healthy(); err == nil {
		t.Error("the store takes itself for healthy")
	}
}

// steppedClock is a clock that says when the store has begun to wait for a time.
type steppedClock struct {
	*storagetest.Clock
	waits chan time.Time
}

func (c steppedClock) Until(t time.Time) <-chan time.Time {
	due := c.Clock.Until(t)
	c.waits <- t
	return due
}

// TestClockSetForward is a box without a battery: it learns the time after its start, and timers do not notice.
func TestClockSetForward(t *testing.T) {
	clock := steppedClock{storagetest.NewClock(), make(chan time.Time, 10)}
	s := open(t, t.TempDir(), sqlite.Options{Clock: clock, Retention: -1})
	w, err := s.Watch(t.Context(), storage.WatchRequest{})
	check(t, err)
	defer w.Close()
	_, _, err = s.Apply(t.Context(), storage.Write{Key: "a", TTL: 24 * time.Hour})
	check(t, err)
	if _, _, err := w.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-clock.waits // the loop that deletes what has expired has seen the key
	clock.Set(365 * 24 * time.Hour)
	clock.Advance(time.Minute)
	events, _, err := w.Next(t.Context())
	check(t, err)
	if len(events) != 1 || !events[0].Delete {
		t.Errorf("got %+v, want a deletion", events)
	}
}

func TestHistoryOlderThanTheRetentionIsCompacted(t *testing.T) {
	clock := steppedClock{storagetest.NewClock(), make(chan time.Time, 1)}
	s := open(t, t.TempDir(), sqlite.Options{Clock: clock, Retention: 5 * time.Minute, CompactionInterval: time.Minute})
	for minute := range 12 {
		<-clock.waits // the compaction of this minute is done
		want := int64(0)
		if minute >= 5 {
			want = int64(1 + minute - 5) // minute m began with m writes made
		}
		if got := s.Compacted(); got != want {
			t.Errorf("in minute %d the compacted revision is %d, want %d", minute, got, want)
		}
		_, _, err := s.Apply(t.Context(), storage.Write{Key: "a", Expected: storage.AnyRevision})
		check(t, err)
		clock.Advance(time.Minute)
	}
	<-clock.waits
}
