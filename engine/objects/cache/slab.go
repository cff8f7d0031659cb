package cache

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// slabSize is how much memory is taken at a time. What is larger than a quarter of it gets memory of its own.
const slabSize = 256 << 10

// slab is memory with encoded objects in it, outside of Go's heap where the system allows. Whoever can read from it holds the
// slab; when nobody does any more, Go's collector finds out and the memory is given back. See RATIONALE.md, "Why are encoded
// objects kept outside of Go's heap?".
type slab struct {
	memory []byte
	usage  *usage // nil for memory of somebody else's
}

// usage is what outlives a slab by the moment it takes to give its memory back.
type usage struct {
	totals *totals
	memory []byte
	// mapped says that the memory is not Go's own.
	mapped bool
	// live is how many bytes hold what has not been freed, and filling, if the slab is being filled.
	live atomic.Int64
}

// filling counts among the live bytes of the slab that is being filled, so that it is not taken for empty.
const filling = 1 << 40

// arena packs encoded objects into slabs. All methods are safe for concurrent use.
type arena struct {
	*totals
	// full holds a token when tidying up may be worth while.
	full chan struct{}

	mu      sync.Mutex // guards all below
	filling *slab      // nil at first
	filled  int        // of it
}

// totals are those of an arena's slabs. They do not hold the slabs, so that the last one, too, can be found to be held by nobody.
type totals struct {
	// release gives the memory of a slab back; tests have it poisoned instead.
	release func(memory []byte) error

	mapped  atomic.Int64 // bytes of all slabs that have not been given back
	used    atomic.Int64 // bytes in them that have not been freed
	empty   atomic.Int64 // bytes of slabs in which nothing is used, but which somebody may still read, or did until lately
	freed   atomic.Int64 // bytes freed so far
	emptied atomic.Int64 // bytes of slabs emptied so far
}

func newArena() *arena {
	return &arena{totals: &totals{release: unmapMemory}, full: make(chan struct{}, 1)}
}

// store copies bytes into the arena. Whoever keeps the Form for others says so with free when that ends.
func (a *arena) store(bytes []byte) Form {
	stored, room := a.reserve(len(bytes))
	copy(room, bytes)
	runtime.KeepAlive(stored.slab)
	return stored
}

// move copies a Form to where there is room now.
func (a *arena) move(from Form) Form {
	stored, room := a.reserve(from.Len())
	from.AppendTo(room[:0])
	runtime.KeepAlive(stored.slab)
	return stored
}

// reserve finds room that is nobody else's. The room may be written to while the Form is held.
func (a *arena) reserve(size int) (Form, []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used.Add(int64(size))
	if size > slabSize/4 {
		own := a.newSlab(size)
		own.usage.live.Add(int64(size))
		return Form{slab: own, size: uint32(size)}, own.memory[:size:size]
	}
	if a.filling == nil || len(a.filling.memory)-a.filled < size {
		next := a.newSlab(slabSize)
		next.usage.live.Add(filling)
		if a.filling != nil {
			a.filling.usage.drop(filling)
		}
		a.filling, a.filled = next, 0
	}
	at := a.filled
	a.filled += size
	a.filling.usage.live.Add(int64(size))
	return Form{slab: a.filling, at: uint32(at), size: uint32(size)}, a.filling.memory[at:a.filled:a.filled]
}

// newSlab takes memory from the system, or from Go if that fails.
func (a *arena) newSlab(size int) *slab {
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	memory, err := mapMemory(size)
	if err != nil {
		memory = make([]byte, size)
	}
	a.mapped.Add(int64(size))
	s := &slab{memory: memory, usage: &usage{totals: a.totals, memory: memory, mapped: err == nil}}
	runtime.AddCleanup(s, (*usage).giveBack, s.usage)
	return s
}

// giveBack ends a slab that nobody can read any more.
func (u *usage) giveBack() {
	live := u.live.Load()
	if live == 0 {
		u.totals.empty.Add(-int64(len(u.memory)))
	}
	u.totals.used.Add(-(live & (filling - 1)))
	u.totals.mapped.Add(-int64(len(u.memory)))
	if u.mapped {
		// It fails for nothing but a range that is not mapped, and then there is nothing to give back.
		_ = u.totals.release(u.memory)
	}
}

// drop takes from what is live.
func (u *usage) drop(n int64) {
	if u.live.Add(-n) == 0 {
		u.totals.empty.Add(int64(len(u.memory)))
		u.totals.emptied.Add(int64(len(u.memory)))
	}
}

// free says that a Form is not kept any more. Whoever holds it may still read it. It must be said once.
func (a *arena) free(f Form) {
	if f.size == 0 || f.slab.usage == nil {
		return
	}
	a.used.Add(-int64(f.size))
	a.freed.Add(int64(f.size))
	f.slab.usage.drop(int64(f.size))
	if a.wantsMoving(0) || a.wantsCollecting(0) {
		select {
		case a.full <- struct{}{}:
		default:
		}
	}
}

const (
	// slack is how much may be wasted however little is used.
	slack = 8 * slabSize
	// Beyond that, a quarter of what is used may be wasted in slabs that are not empty, and an eighth in slabs that are. A slab
	// is emptied by moving what is in it if an eighth of it is wasted.
	mostWasted, mostEmpty, mostSparse = 4, 8, 8
)

// wantsMoving says that much room is wasted in slabs that are not empty, and more has been since freed was as told.
func (t *totals) wantsMoving(freed int64) bool {
	used := t.used.Load()
	wasted := t.mapped.Load() - t.empty.Load() - used
	return wasted > slack+used/mostWasted && t.freed.Load()-freed > slack/2+used/(4*mostWasted)
}

// wantsCollecting says that much memory waits to be given back, and more has been emptied since emptied was as told.
func (t *totals) wantsCollecting(emptied int64) bool {
	most := slack + t.used.Load()/mostEmpty
	return t.empty.Load() > most && t.emptied.Load()-emptied > most
}

// sparse says that a Form lies in a slab that is worth emptying.
func (f Form) sparse() bool {
	if f.size == 0 || f.slab.usage == nil || len(f.slab.memory) != slabSize {
		return false
	}
	return f.slab.usage.live.Load() < slabSize-slabSize/mostSparse
}
