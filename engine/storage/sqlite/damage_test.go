package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

// TestOpenRefuses holds the files that must not be opened, each with the type of error that says so.
func TestOpenRefuses(t *testing.T) {
	damaged := func(err error) bool { var e *sqlite.DamagedError; return errors.As(err, &e) }
	format := func(err error) bool { var e *sqlite.FormatError; return errors.As(err, &e) }
	for _, c := range []struct {
		sentence string
		make     func(t *testing.T, path string)
		is       func(error) bool
		says     []string
	}{
		{"a file that is no database", func(t *testing.T, path string) {
			write(t, path, bytes.Repeat([]byte("this is no database. "), 1000))
		}, damaged, []string{"restore it from a backup", ".recover"}},
		{"a database that was cut short", func(t *testing.T, path string) {
			fill(t, path, 300)
			check(t, os.Truncate(path, 8192))
		}, damaged, []string{"restore it from a backup", ".recover"}},
		{"a database whose schema is overwritten", func(t *testing.T, path string) {
			fill(t, path, 300)
			overwrite(t, path, 100, 3000)
		}, damaged, []string{"restore it from a backup", ".recover"}},
		{"a database without its newest version", func(t *testing.T, path string) {
			fill(t, path, 10)
			change(t, path, "DELETE FROM versions WHERE revision = 11")
		}, damaged, []string{"1 of the newest commits lack their version"}},
		{"a database whose keys are behind its history", func(t *testing.T, path string) {
			fill(t, path, 10)
			change(t, path, "UPDATE current SET revision = 3 WHERE revision = 11")
		}, damaged, []string{"recently changed keys are not at their newest commit"}},
		{"a database with a version nobody committed", func(t *testing.T, path string) {
			fill(t, path, 10)
			change(t, path, "INSERT INTO versions VALUES (99, 99, 0, x'00')")
		}, damaged, []string{"versions are newer than the newest commit"}},
		{"a database without its state", func(t *testing.T, path string) {
			fill(t, path, 10)
			change(t, path, "DELETE FROM state")
		}, damaged, []string{"table state is empty"}},
		{"a database of another program", func(t *testing.T, path string) {
			write(t, path, nil)
			change(t, path, "CREATE TABLE bookmarks (url TEXT)")
		}, format, []string{"another program", "choose another data directory"}},
		{"a database of a newer version", func(t *testing.T, path string) {
			fill(t, path, 10)
			change(t, path, "PRAGMA user_version = 2")
		}, format, []string{"format 2", "newer version", "backup"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			c.make(t, path)
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err == nil {
				t.Fatal("it was opened", s.Close())
			}
			if !c.is(err) {
				t.Errorf("the error is a %T: %v", err, err)
			}
			for _, says := range append(c.says, path) {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
		})
	}
}

func TestDamageFoundByReadingStopsWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	fill(t, path, 300)
	overwriteMiddle(t, path)
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Retention: -1})
	check(t, err)
	defer s.Close()

	var damaged *sqlite.DamagedError
	if _, err := s.Range(t.Context(), storage.RangeRequest{}); !errors.As(err, &damaged) {
		t.Fatalf("reading gives %v", err)
	}
	if err := s.Healthy(); !errors.As(err, &damaged) {
		t.Errorf("Healthy gives %v", err)
	}
	if _, _, err := s.Apply(t.Context(), storage.Write{Key: "new"}); !errors.As(err, &damaged) {
		t.Errorf("writing gives %v", err)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	fill(t, path, 300)
	overwriteMiddle(t, path)
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Retention: -1})
	check(t, err)
	defer s.Close()
	var damaged *sqlite.DamagedError
	if err := s.Check(t.Context()); !errors.As(err, &damaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("Check gives %v", err)
	}
}

func TestCheckFindsContradictions(t *testing.T) {
	for _, c := range []struct{ sentence, change, says string }{
		{
			"a key without its version",
			"DELETE FROM versions WHERE revision = 150; DELETE FROM history WHERE revision = 150",
			"keys have no version",
		},
		{
			"a version of nothing",
			"DELETE FROM history WHERE revision = 150; DELETE FROM current WHERE revision = 150",
			"versions belong to no key",
		},
		{"a missing previous version", "DELETE FROM versions WHERE revision = 302", "commits"},
		{
			"a key of no commit",
			"UPDATE state SET compacted = 3; DELETE FROM history WHERE revision IN (2, 3, 150)",
			"without history",
		},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			fill(t, path, 300)
			refill(t, path, 2)   // revisions 302 and 303 replace 2 and 3
			refill(t, path, 100) // 304 and 305 replace these, and the newest commits are sound
			change(t, path, c.change)
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{Retention: -1})
			check(t, err)
			defer s.Close()
			var damaged *sqlite.DamagedError
			if err := s.Check(t.Context()); !errors.As(err, &damaged) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Check gives %v, want %q", err, c.says)
			}
		})
	}
}

func TestDatabaseThatWasNotClosedIsCheckedInTheBackground(t *testing.T) {
	for _, c := range []struct {
		sentence string
		spoil    func(t *testing.T, path string)
		says     string
		healthy  bool
	}{
		{"and found sound", func(*testing.T, string) {}, "the database is sound", true},
		{"and found damaged", overwriteMiddle, "database fault", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			dir := t.TempDir()
			left := filepath.Join(dir, "left.db")
			path := filepath.Join(dir, "store.db")
			fill(t, path, 300)
			copyWhileOpen(t, path, left)
			c.spoil(t, left)

			messages := make(messages, 100)
			s, err := sqlite.Open(t.Context(), left, sqlite.Options{Logger: slog.New(messages), Retention: -1})
			check(t, err)
			defer s.Close()
			messages.await(t, c.says)
			if err := s.Healthy(); (err == nil) != c.healthy {
				t.Errorf("Healthy gives %v", err)
			}
		})
	}
}

// copyWhileOpen copies a database as a crash would leave it, with a WAL.
func copyWhileOpen(t *testing.T, path, to string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Retention: -1})
	check(t, err)
	defer s.Close()
	_, _, err = s.Apply(t.Context(), storage.Write{Key: "last"})
	check(t, err)
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		check(t, err)
		write(t, to+suffix, content)
	}
}

// messages is a log that can be waited for.
type messages chan slog.Record

func (m messages) Enabled(context.Context, slog.Level) bool { return true }
func (m messages) WithAttrs([]slog.Attr) slog.Handler       { return m }
func (m messages) WithGroup(string) slog.Handler            { return m }

func (m messages) Handle(_ context.Context, r slog.Record) error {
	m <- r
	return nil
}

// await takes messages until the wanted one; any other that is a warning or worse fails the test.
func (m messages) await(t *testing.T, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		select {
		case r := <-m:
			if r.Message == want {
				return
			}
			t.Log(r.Message)
			if r.Level > slog.LevelInfo {
				r.Attrs(func(a slog.Attr) bool { t.Log(a); return true })
				t.Fatalf("got message %q, want %q", r.Message, want)
			}
		case <-ctx.Done():
			t.Fatalf("waiting for message %q: %v", want, ctx.Err())
		}
	}
}

// fill makes a database of n keys at revisions 2 to n+1.
func fill(t *testing.T, path string, n int) {
	t.Helper()
	refill(t, path, n)
}

// refill writes the first n keys again.
func refill(t *testing.T, path string, n int) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Retention: -1})
	check(t, err)
	for i := range n {
		_, _, err := s.Apply(t.Context(), storage.Write{
			Key: fmt.Sprintf("key %03d", i), Value: bytes.Repeat([]byte{byte(i)}, 2000), Expected: storage.AnyRevision,
		})
		check(t, err)
	}
	check(t, s.Close())
}

// change runs SQL on a database behind the store's back.
func change(t *testing.T, path, sql string) {
	t.Helper()
	c, err := (&sqlite3.SQLiteDriver{}).Open(path)
	check(t, err)
	_, err = c.(*sqlite3.SQLiteConn).Exec(sql, nil)
	check(t, err)
	check(t, c.Close())
}

// overwriteMiddle spoils pages that Open has no reason to look at.
func overwriteMiddle(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	check(t, err)
	overwrite(t, path, info.Size()/2&^4095, 5*4096)
}

func overwrite(t *testing.T, path string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	check(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xdb}, n), at)
	check(t, err)
	check(t, f.Close())
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	check(t, os.WriteFile(path, content, 0o600))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
