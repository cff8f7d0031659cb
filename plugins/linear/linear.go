// Package linear gives guests their linear memory outside of Go's heap, where it can grow without being copied. On Go's heap
// each growth moves all of it, during which Go can neither schedule on that thread nor stop the world: 20 ms for 64 MiB that
// are not in the caches. The heap also stays as small as the server's own.
//
// Memory is given back the moment an instance is closed. What has looked at it must not do so afterwards.
package linear

import (
	"context"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// With returns a context under which instances get memory of this package's kind. Where the system refuses it, or on systems
// without it, they get Go's. used is how many bytes of it there are at any time, together with what else is counted there.
func With(ctx context.Context, used *atomic.Int64) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(func(first, most uint64) experimental.LinearMemory {
		return count(allocate(first, most), used)
	}))
}

// onHeap is memory on Go's heap, with room for nothing more than is used: moving it is left to Go.
type onHeap struct{ data []byte }

func (m *onHeap) Reallocate(size uint64) []byte {
	m.data = append(m.data, make([]byte, size-uint64(len(m.data)))...)
	return m.data
}

func (m *onHeap) Free() { m.data = nil }
