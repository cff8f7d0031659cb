package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

const (
	crashRounds  = 10
	crashWriters = 16
	// crashWritesAtMost is how many acknowledgements the parent reads, at most, before it kills the child.
	crashWritesAtMost = 1500
)

// TestCrash kills a process with SIGKILL while 16 writers and a compaction are at work in it, ten times on the same
// data. A write that was acknowledged, which the child says on its standard output, must be there; of each writer one
// more may be, that it had begun.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	acknowledged := make([]int, crashWriters)
	revision := int64(1)
	for round := range crashRounds {
		runUntilKilled(t, dir, acknowledged, 1+rand.IntN(crashWritesAtMost))
		s := open(t, dir, sqlite.Options{Retention: -1})
		now := revisionOf(t, s)
		if now < revision {
			t.Fatalf("round %d: the revision went back from %d to %d", round, revision, now)
		}
		for i := range acknowledged {
			acknowledged[i] = verifyWriter(t, s, i, acknowledged[i])
		}
		verifyResumed(t, s, revision, now)
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		revision = now
	}
	t.Logf("%d commits in %d rounds", revision-1, crashRounds)
}

// runUntilKilled runs TestCrashChild in a process of its own, and adds to acknowledged what it says until it is dead.
func runUntilKilled(t *testing.T, dir string, acknowledged []int, killAfter int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), crashDir+"="+dir, crashFrom+"="+strings.Trim(fmt.Sprint(acknowledged), "[]"))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	heard := 0
	for lines.Scan() {
		var writer, n int
		if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d %d", &writer, &n); err != nil {
			t.Fatalf("the child says %q", lines.Text())
		}
		if n != acknowledged[writer] {
			t.Fatalf("writer %d did write %d after %d", writer, n, acknowledged[writer])
		}
		acknowledged[writer]++
		if heard++; heard == killAfter {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Exited() || heard < killAfter {
		t.Fatalf("the child was not killed but ended, after %d of %d writes: %v", heard, killAfter, err)
	}
}

const (
	crashDir  = "GATEHOUSE_TEST_CRASH_DIR"
	crashFrom = "GATEHOUSE_TEST_CRASH_FROM"
)

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("it runs inside TestCrash")
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "store.db"), sqlite.Options{Retention: -1})
	if err != nil {
		t.Fatal(err)
	}
	var out sync.Mutex // one line at a time
	from := strings.Fields(os.Getenv(crashFrom))
	for i := range crashWriters {
		var n int
		if _, err := fmt.Sscan(from[i], &n); err != nil {
			t.Fatal(err)
		}
		go func() {
			for ; ; n++ {
				if _, _, err := s.Apply(context.Background(), crashWrite(i, n)); err != nil {
					panic(err)
				}
				out.Lock()
				fmt.Printf("acknowledged %d %d\n", i, n)
				out.Unlock()
			}
		}()
	}
	// Forget what was before this process, a little at a time, so that the kill may come in the middle of it.
	begun := revisionOf(t, s)
	for revision := s.Compacted(); ; revision += 10 {
		if err := s.Compact(context.Background(), min(revision, begun)); err != nil {
			t.Fatal(err)
		}
	}
}

const crashKeys = 7

// crashWrite is the n-th write of a writer: round after round over its keys; every third round deletes.
func crashWrite(writer, n int) storage.Write {
	w := storage.Write{Key: fmt.Sprintf("%02d/%d", writer, n%crashKeys), Expected: storage.AnyRevision}
	if n/crashKeys%3 == 2 {
		w.Delete = true
	} else {
		w.Value = []byte(strings.Repeat(fmt.Sprintf("value %d ", n), 1+n%200))
	}
	return w
}

// verifyWriter compares a writer's keys with those after n of its writes, or one more, and returns which it is.
func verifyWriter(t *testing.T, s *sqlite.Store, writer, n int) int {
	t.Helper()
	prefix := fmt.Sprintf("%02d/", writer)
	result, err := s.Range(t.Context(), storage.RangeRequest{Start: prefix, End: storage.PrefixEnd(prefix)})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, item := range result.Items {
		got[item.Key] = string(item.Value)
	}
	for done := n; done <= n+1; done++ {
		if cmp.Equal(got, crashState(writer, done)) {
			return done
		}
	}
	t.Fatalf("writer %d, after %d acknowledged writes (-want +got):\n%s", writer, n, cmp.Diff(crashState(writer, n), got))
	return n
}

func crashState(writer, n int) map[string]string {
	state := map[string]string{}
	for i := max(0, n-crashKeys); i < n; i++ {
		if w := crashWrite(writer, i); !w.Delete {
			state[w.Key] = string(w.Value)
		}
	}
	return state
}

// verifyResumed makes sure that a watch from the last revision seen before the crash misses nothing.
func verifyResumed(t *testing.T, s *sqlite.Store, after, now int64) {
	t.Helper()
	w, err := s.Watch(t.Context(), storage.WatchRequest{After: after})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for after < now {
		events, _, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events {
			if event.Item.ModRevision != after+1 {
				t.Fatalf("the watch went from revision %d to %d", after, event.Item.ModRevision)
			}
			after++
		}
	}
}

func revisionOf(t *testing.T, s *sqlite.Store) int64 {
	t.Helper()
	revision, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return revision
}
