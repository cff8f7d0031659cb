package sqlite

import (
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
)

// DamagedError says that the file is, or was, a database of ours whose content can no longer be trusted.
type DamagedError struct {
	Path  string
	Cause error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("database %s is damaged (%v): restore it from a backup, or stop the server and rescue what can "+
		"still be read with: sqlite3 %s .recover | sqlite3 rescued.db", e.Path, e.Cause, e.Path)
}

func (e *DamagedError) Unwrap() error { return e.Cause }

// FormatError says that the file is a sound database which this version of the store must not touch: another
// program's, or written by a newer version.
type FormatError struct {
	Path    string
	Problem string
}

func (e *FormatError) Error() string { return fmt.Sprintf("database %s %s", e.Path, e.Problem) }

// InUseError says that another store, in this process or another, has the database open.
type InUseError struct {
	Path string
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("database %s is in use by another process: stop that one first, or choose another data directory",
		e.Path)
}

// code is SQLite's extended result code, 0 when err is none of SQLite's.
func code(err error) sqlite3.ErrNoExtended {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return 0
	}
	if e.ExtendedCode != 0 {
		return e.ExtendedCode
	}
	return sqlite3.ErrNoExtended(e.Code)
}

// primary is the family of a result code: all kinds of I/O error are ErrIoErr.
func primary(err error) sqlite3.ErrNo { return sqlite3.ErrNo(code(err) & 0xff) }

// explain puts an error of SQLite into words that name the file and say what to do.
func explain(path string, err error) error {
	var explained *DamagedError
	if errors.As(err, &explained) {
		return err
	}
	switch primary(err) {
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return &DamagedError{Path: path, Cause: err}
	case sqlite3.ErrFull:
		return fmt.Errorf("database %s cannot grow: free some space on its file system, or raise the limit it was given: %w",
			path, err)
	case sqlite3.ErrIoErr:
		if code(err) == sqlite3.ErrIoErrShortRead {
			return &DamagedError{Path: path, Cause: err}
		}
		return fmt.Errorf("database %s cannot be read or written: look after the disk, then start again: %w", path, err)
	case sqlite3.ErrCantOpen, sqlite3.ErrPerm, sqlite3.ErrReadonly:
		return fmt.Errorf("database %s cannot be opened for writing: check owner and mode of the file and its directory: %w",
			path, err)
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return fmt.Errorf("database %s is locked by another program: close what else has it open: %w", path, err)
	case sqlite3.ErrConstraint:
		// Revisions are given out by the writer alone, so one that exists already came from elsewhere.
		return fmt.Errorf("database %s was written to by another program: keep that one away from it, then start again: %w",
			path, err)
	default:
		return err
	}
}

// fatal tells whether, after this error of a write, further writes could make things worse: the disk's state is
// unknown, the file is damaged, or its content contradicts what the writer knows.
func fatal(err error) bool {
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		return true
	}
	switch primary(err) {
	case sqlite3.ErrIoErr, sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrConstraint, sqlite3.ErrReadonly:
		return true
	}
	return false
}
