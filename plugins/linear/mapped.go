//go:build linux || darwin

package linear

import (
	"math"
	"syscall"

	"github.com/tetratelabs/wazero/experimental"
)

// allocate reserves addresses for all that the memory may become.
func allocate(_, most uint64) experimental.LinearMemory {
	if most == 0 || most > math.MaxInt {
		return &onHeap{}
	}
	reserved, err := syscall.Mmap(-1, 0, int(most), syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return &onHeap{}
	}
	return &mapped{reserved: reserved}
}

// mapped is memory of which the first part can be used.
type mapped struct {
	reserved []byte
	used     uint64
	// instead takes over when the system gives no memory at all, for the runtime cannot do without in the beginning.
	instead onHeap
}

// Reallocate makes more of what is reserved usable. It is nil when the system is out of memory, which the guest then learns.
func (m *mapped) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) {
		return nil
	}
	if size > m.used {
		if err := syscall.Mprotect(m.reserved[m.used:size], syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
			if m.used > 0 {
				return nil
			}
			m.Free()
			return m.instead.Reallocate(size)
		}
		m.used = size
	}
	return m.reserved[:size:size]
}

func (m *mapped) Free() {
	if m.reserved != nil {
		_ = syscall.Munmap(m.reserved) // it cannot fail for what Mmap has returned
	}
	m.reserved = nil
}
