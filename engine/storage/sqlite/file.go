package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const fileMode fs.FileMode = 0o600

// prepareFile makes sure that the database file exists and that only its owner can read it: it holds Secrets. SQLite
// gives the files it adds (-wal, -shm) the same mode. It must not run while this process has the database open, since
// closing any descriptor of the file would release SQLite's POSIX locks on it; the lock file sees to that.
func prepareFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&^fileMode != 0 {
		err = f.Chmod(fileMode)
	}
	if err == nil && info.Size() == 0 {
		// A new file's name is durable only once its directory is.
		err = syncDirectory(filepath.Dir(path))
	}
	return errors.Join(err, f.Close())
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// leftUnclean tells whether the last owner died: SQLite removes the WAL when the last connection closes.
func leftUnclean(path string) (bool, error) {
	info, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Size() > 0, nil
}

// lock takes the lock file beside the database; closing it releases the lock.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+"-lock", os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	locked, err := tryLock(f)
	if err == nil && !locked {
		err = &InUseError{Path: path}
	} else if err != nil {
		err = fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
