package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestCreateFileMakesWhatIsNotThereAndReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := CreateFile(path, []byte("first"), PublicMode); err != nil {
		t.Fatal(err)
	}
	if err := CreateFile(path, []byte("second"), PrivateMode); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error is %v, want that it exists", err)
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "first" {
		t.Errorf("holds %q, want what came first: %v", content, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != PublicMode {
		t.Errorf("mode is %s: %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left %v: %v", entries, err)
	}
	if err := CreateFile(filepath.Join(dir, "nowhere", "file"), nil, PublicMode); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}
