package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CreateFile writes a file that is not there yet, all or nothing as WriteFile does. If there is something at path by then,
// it stays as it is, and the error is fs.ErrExist.
func CreateFile(path string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, TempPattern(filepath.Base(path)))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	err = errors.Join(fill(temp, content, mode), temp.Close())
	if err == nil {
		err = os.Link(temp.Name(), path) // unlike a rename, it replaces nothing
	}
	if err := errors.Join(err, os.Remove(temp.Name())); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return SyncDir(dir)
}
