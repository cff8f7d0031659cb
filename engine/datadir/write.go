package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Modes of what the data directory holds. Keys and objects live there, so it is its owner's alone.
const (
	DirMode     fs.FileMode = 0o700
	PrivateMode fs.FileMode = 0o600
	PublicMode  fs.FileMode = 0o644
)

// WriteFile replaces the file at path with content, all or nothing: after a crash the file holds either what it held
// before or all of content, and once WriteFile has returned it holds content even if the power fails. The file gets
// exactly mode, whatever the umask. The directory must exist.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, TempPattern(filepath.Base(path)))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	err = errors.Join(fill(temp, content, mode), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // Best effort: what went wrong before is what the caller has to hear of.
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return SyncDir(dir)
}

func fill(file *os.File, content []byte, mode fs.FileMode) error {
	if err := file.Chmod(mode); err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Sync()
}

// SyncDir makes durable which names the directory at path holds, as a rename in it needs to survive a power failure.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot open directory %s to sync it: %w", path, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("cannot sync directory %s: %w", path, err)
	}
	return nil
}

// RemoveLeftovers removes from the directory at dir what a WriteFile of the file called name, or anything else that makes
// temporary files as TempPattern says, left behind when it was killed. Nobody else may be writing that file.
func RemoveLeftovers(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot look for leftovers: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		if left, err := filepath.Match(TempPattern(name), entry.Name()); err == nil && left {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// TempPattern is the pattern, for os.CreateTemp, os.MkdirTemp and filepath.Match, of what is to become name.
func TempPattern(name string) string { return "." + name + ".*.tmp" }
