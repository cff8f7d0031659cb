//go:build unix

package sqlite

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks an open file against every other open file, in this process too; the kernel releases it when the
// process dies.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
