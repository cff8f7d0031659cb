// Package datadir owns the directory in which one server keeps everything: database, keys, certificates, plugins.
//
// It makes the directory, lets one process at a time have it, and writes files into it so that neither a crash nor a power
// failure leaves half of one. What the files mean is for the packages that write them.
package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// LockFile is the name of the file in the data directory whose lock says that the directory is in use.
const LockFile = "lock"

// Dir is a data directory that this process holds until Close or its own end, however that comes about: the lock is the
// kernel's, so that a killed server leaves nothing to clean up.
type Dir struct {
	path   string
	lock   *os.File
	holder Holder
}

// Holder is who has a data directory, as the lock file tells others. It informs people; the lock itself is flock's.
type Holder struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Listen  string    `json:"listen,omitempty"`
}

// Open makes the directory if it is not there and takes its lock. The error, if another process has it, is an InUseError.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot find data directory %s: %w", path, err)
	}
	if err := os.MkdirAll(path, DirMode); err != nil {
		return nil, unusable(path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, LockFile), os.O_RDWR|os.O_CREATE, PrivateMode)
	if err != nil {
		return nil, unusable(path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = lock.Close() }() // Nothing was written.
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &InUseError{Path: path, Holder: readHolder(lock)}
		}
		return nil, fmt.Errorf("cannot lock %s: %w; the file system must support flock, as local ones do", lock.Name(), err)
	}
	dir := &Dir{path: path, lock: lock, holder: Holder{PID: os.Getpid(), Started: time.Now().Truncate(time.Second)}}
	if err := dir.writeHolder(dir.holder); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// Path is the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// Announce tells whoever finds the directory in use that its holder listens on address.
func (d *Dir) Announce(address string) error {
	d.holder.Listen = address
	return d.writeHolder(d.holder)
}

// Close lets others have the directory. It does not close what this process still has open there.
func (d *Dir) Close() error {
	return errors.Join(d.lock.Truncate(0), d.lock.Close())
}

// writeHolder writes in place, not by rename: the lock belongs to this very file.
func (d *Dir) writeHolder(holder Holder) error {
	text, err := json.Marshal(holder)
	if err != nil {
		return err
	}
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("cannot write %s: %w", d.lock.Name(), err)
	}
	if _, err := d.lock.WriteAt(append(text, '\n'), 0); err != nil {
		return fmt.Errorf("cannot write %s: %w", d.lock.Name(), err)
	}
	return nil
}

// readHolder returns nil when the file does not say who holds it: its holder may be about to write, or to leave.
func readHolder(lock io.Reader) *Holder {
	var holder Holder
	if err := json.NewDecoder(io.LimitReader(lock, 4096)).Decode(&holder); err != nil || holder.PID == 0 {
		return nil
	}
	return &holder
}

// InUseError says that another process has the data directory at Path. Holder is nil if that process has not said who it is.
type InUseError struct {
	Path   string
	Holder *Holder
}

// Error names the holder and what to do.
func (e *InUseError) Error() string {
	const fix = "; stop it or choose another --data-dir"
	if e.Holder == nil {
		return fmt.Sprintf("data directory %s is in use by another process%s", e.Path, fix)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "data directory %s is in use by gatehouse pid %d, started %s",
		e.Path, e.Holder.PID, e.Holder.Started.Local().Format(time.DateTime))
	if e.Holder.Listen != "" {
		fmt.Fprintf(&text, ", listening on %s", e.Holder.Listen)
	}
	return text.String() + fix
}

// unusable explains why the directory at path cannot be had.
func unusable(path string, err error) error {
	fix := "choose another with --data-dir"
	if errors.Is(err, fs.ErrPermission) {
		fix = "make it writable for this user or " + fix
	}
	return fmt.Errorf("cannot use data directory %s: %w; %s", path, err, fix)
}
