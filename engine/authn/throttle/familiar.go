package throttle

import (
	"hash/maphash"
	"sync/atomic"
)

// familiarSlots bounds how many credentials are remembered: about as many as have been good lately.
const familiarSlots = 4096

// Familiar remembers, roughly, which credentials were good. Who has such ones is not guessing, and need not wait because of
// others behind the same address: pods on a node that one of them with an old token shares. That it remembers is no proof of
// anything; credentials are looked at all the same. Its methods are safe for concurrent use, take no lock and keep nothing
// that could be used.
type Familiar struct {
	seed  maphash.Seed
	slots [familiarSlots]atomic.Uint64
}

// NewFamiliar makes one that knows none.
func NewFamiliar() *Familiar { return &Familiar{seed: maphash.MakeSeed()} }

func (f *Familiar) slot(credentials string) (*atomic.Uint64, uint64) {
	sum := maphash.String(f.seed, credentials) | 1 // never zero, which is an empty slot
	return &f.slots[(sum>>1)%familiarSlots], sum
}

// Good notes that credentials were good.
func (f *Familiar) Good(credentials string) {
	if slot, sum := f.slot(credentials); slot.Load() != sum {
		slot.Store(sum)
	}
}

// Bad notes that they are not, or not any more.
func (f *Familiar) Bad(credentials string) {
	slot, sum := f.slot(credentials)
	slot.CompareAndSwap(sum, 0)
}

// Knows tells whether credentials were good lately. It forgets some before their time.
func (f *Familiar) Knows(credentials string) bool {
	slot, sum := f.slot(credentials)
	return slot.Load() == sum
}
