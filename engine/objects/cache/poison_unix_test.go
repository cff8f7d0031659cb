//go:build unix

package cache

import (
	"sync/atomic"
	"syscall"
	"testing"
)

// poison has slabs made unreadable for good instead of given back: reading one is then a fault, whatever else is mapped meanwhile.
// It must be called before anything is stored, and counts the slabs.
func (a *arena) poison(t *testing.T) *atomic.Int64 {
	released := &atomic.Int64{}
	a.release = func(memory []byte) error {
		released.Add(1)
		err := syscall.Mprotect(memory, syscall.PROT_NONE)
		if err != nil {
			t.Errorf("make a slab unreadable: %v", err)
		}
		return err
	}
	return released
}
