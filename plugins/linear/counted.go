package linear

import (
	"runtime"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// counted is memory whose size is part of a sum.
type counted struct {
	experimental.LinearMemory
	sum  *atomic.Int64
	size int64
}

func count(memory experimental.LinearMemory, sum *atomic.Int64) *counted {
	c := &counted{LinearMemory: memory, sum: sum}
	// The runtime forgets to free the memory of an instance whose start function traps.
	runtime.SetFinalizer(c, (*counted).Free)
	return c
}

// Reallocate implements experimental.LinearMemory.
func (c *counted) Reallocate(size uint64) []byte {
	data := c.LinearMemory.Reallocate(size)
	if data != nil {
		c.sum.Add(int64(len(data)) - c.size)
		c.size = int64(len(data))
	}
	return data
}

// Free implements experimental.LinearMemory. It may be called twice.
func (c *counted) Free() {
	runtime.SetFinalizer(c, nil)
	c.sum.Add(-c.size)
	c.size = 0
	c.LinearMemory.Free()
}
