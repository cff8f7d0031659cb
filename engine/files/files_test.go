package files

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// logged is a handler that hands each record to the test.
type logged struct{ records chan string }

func (logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l logged) WithGroup(string) slog.Handler          { return l }

func (l logged) Handle(_ context.Context, record slog.Record) error {
	text := record.Message
	record.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.records <- text
	return nil
}

// text reads a file that must not say "broken", on no line.
func text(content []byte) (string, error) {
	for i, line := range strings.Split(string(content), "\n") {
		if line == "broken" {
			return "", AtLine(i+1, errors.New("it says so"))
		}
	}
	return string(content), nil
}

func open(t *testing.T, path string) (file *File[string], changed chan struct{}, log chan string) {
	t.Helper()
	log = make(chan string, 100)
	set := NewSet(slog.New(logged{log}))
	t.Cleanup(set.Close)
	file, err := Open(set, path, text)
	if err != nil {
		t.Fatal(err)
	}
	changed = make(chan struct{}, 100)
	file.OnChange(func() { changed <- struct{}{} })
	return file, changed, log
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace puts a new file in place of the one at path, as editors do.
func replace(t *testing.T, path, content string) {
	t.Helper()
	write(t, path+"~", content)
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

// link makes path a link to target, in place of what is there.
func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path+"~"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAChangedFileIsReadAnew(t *testing.T) {
	for name, test := range map[string]struct {
		prepare, change func(t *testing.T, dir string)
	}{
		"written in place": {
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "f"), "old") },
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "f"), "new") },
		},
		"replaced by rename": {
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "f"), "old") },
			func(t *testing.T, dir string) { replace(t, filepath.Join(dir, "f"), "new") },
		},
		"replaced twice": {
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "f"), "old") },
			func(t *testing.T, dir string) {
				replace(t, filepath.Join(dir, "f"), "newer")
				replace(t, filepath.Join(dir, "f"), "new")
			},
		},
		"removed and written again": {
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "f"), "old") },
			func(t *testing.T, dir string) {
				if err := os.Remove(filepath.Join(dir, "f")); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, "f"), "new")
			},
		},
		"a link to a file elsewhere that is written": {
			func(t *testing.T, dir string) {
				write(t, filepath.Join(mkdir(t, filepath.Join(dir, "elsewhere")), "f"), "old")
				link(t, filepath.Join("elsewhere", "f"), filepath.Join(dir, "f"))
			},
			func(t *testing.T, dir string) { replace(t, filepath.Join(dir, "elsewhere", "f"), "new") },
		},
		"a mounted ConfigMap": {
			func(t *testing.T, dir string) {
				write(t, filepath.Join(mkdir(t, filepath.Join(dir, "..1")), "f"), "old")
				link(t, "..1", filepath.Join(dir, "..data"))
				link(t, filepath.Join("..data", "f"), filepath.Join(dir, "f"))
			},
			func(t *testing.T, dir string) {
				write(t, filepath.Join(mkdir(t, filepath.Join(dir, "..2")), "f"), "new")
				link(t, "..2", filepath.Join(dir, "..data"))
				if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test.prepare(t, dir)
			file, changed, _ := open(t, filepath.Join(dir, "f"))
			if got := file.Get(); got != "old" {
				t.Fatalf("holds %q at first, want old", got)
			}
			test.change(t, dir)
			for file.Get() != "new" {
				select {
				case <-changed:
				case <-t.Context().Done():
					t.Fatal("never changed")
				}
			}
		})
	}
}

func TestABrokenFileKeepsWhatItHeldAndIsLoggedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "old")
	file, changed, log := open(t, path)

	replace(t, path, "fine\nbroken\nsecret")
	want := "a file has changed and cannot be used; what it held before stays in use error=" + path + ":2: it says so"
	if got := <-log; got != want {
		t.Errorf("log says\n\t%s\nwant\n\t%s", got, want)
	}
	if got := file.Get(); got != "old" {
		t.Errorf("holds %q, want old", got)
	}
	replace(t, path, "fine\nbroken\nsecret") // the same again is no change
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for got := range log {
		if strings.Contains(got, "no such file") {
			break
		}
		t.Errorf("log says %s, want only that the file is gone", got)
	}
	if got := file.Get(); got != "old" {
		t.Errorf("holds %q after the file was removed, want old", got)
	}
	write(t, path, "new")
	<-changed
	if got := file.Get(); got != "new" {
		t.Errorf("holds %q, want new", got)
	}
}

func TestAFileThatCannotBeUsedAtFirstIsNamed(t *testing.T) {
	set := NewSet(slog.New(slog.DiscardHandler))
	defer set.Close()
	path := filepath.Join(t.TempDir(), "f")
	for _, test := range []struct{ content, want string }{
		{"", "cannot read " + path + ": no such file or directory"},
		{"a\nb\nbroken", path + ":3: it says so"},
	} {
		if test.content != "" {
			write(t, path, test.content)
		}
		if _, err := Open(set, path, text); err == nil || err.Error() != test.want {
			t.Errorf("error is %v, want %s", err, test.want)
		}
	}
}

func TestFilesAreLookedAtWhereTheSystemTellsOfNoChanges(t *testing.T) {
	set := newSet(slog.New(slog.DiscardHandler), nil)
	defer set.Close()
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "old")
	file, err := Open(set, path, text)
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 1)
	file.OnChange(func() { changed <- struct{}{} })
	replace(t, path, "new")
	<-changed
	if got := file.Get(); got != "new" {
		t.Errorf("holds %q, want new", got)
	}
}

func TestADirectoryIsWatchedWithWhatIsInIt(t *testing.T) {
	set := NewSet(slog.New(slog.DiscardHandler))
	defer set.Close()
	dir := t.TempDir()
	looked := make(chan []os.DirEntry, 100)
	set.Watch(dir, func() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		looked <- entries
	})
	write(t, filepath.Join(dir, "key"), "k")
	for entries := range looked {
		if len(entries) == 1 && entries[0].Name() == "key" {
			break
		}
	}
}
