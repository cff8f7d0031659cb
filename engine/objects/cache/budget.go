package cache

import "sync"

// overhead is what a kept form costs beside its bytes, about.
const overhead = 96

// budget bounds the forms that can be made again. They stand in a ring, over which a hand goes to find one that has not been used
// since it last came by: that costs readers no lock.
type budget struct {
	limit int64
	arena *arena // where the forms are

	mu   sync.Mutex // guards all below
	used int64
	hand *kept // where to look next; nil when the ring is empty
}

func newBudget(limit int64, arena *arena) *budget { return &budget{limit: limit, arena: arena} }

// add takes in a form as the last the hand will come to, and drops others until all is within the limit.
func (b *budget) add(k *kept) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += costOf(k)
	if b.hand == nil {
		k.next, k.previous = k, k
		b.hand = k
	} else {
		k.next, k.previous = b.hand, b.hand.previous
		k.previous.next, b.hand.previous = k, k
	}
	for b.used > b.limit && b.hand != nil {
		b.drop(b.victim())
	}
}

// remove drops a form, if it is still kept.
func (b *budget) remove(k *kept) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k.next != nil {
		b.drop(k)
	}
}

// patience is how many forms in use the hand passes over before it takes one all the same.
const patience = 256

// victim is the next form to drop. mu must be held.
func (b *budget) victim() *kept {
	for range patience {
		if !b.hand.used.Swap(false) {
			break
		}
		b.hand = b.hand.next
	}
	return b.hand
}

// drop takes a form out of the ring and out of its entry. mu must be held.
func (b *budget) drop(k *kept) {
	k.slot.CompareAndSwap(k, nil)
	b.arena.free(k.form)
	b.used -= costOf(k)
	if k.next == k {
		b.hand = nil
	} else {
		k.previous.next, k.next.previous = k.next, k.previous
		if b.hand == k {
			b.hand = k.next
		}
	}
	k.next, k.previous = nil, nil
}

// move copies a form, if it is still kept, to where there is room.
func (b *budget) move(k *kept) {
	to := &kept{form: b.arena.move(k.form), slot: k.slot}
	b.mu.Lock()
	defer b.mu.Unlock()
	if k.next == nil {
		b.arena.free(to.form)
		return
	}
	to.used.Store(k.used.Load())
	to.next, to.previous = to, to
	if k.next != k {
		to.next, to.previous = k.next, k.previous
		to.next.previous, to.previous.next = to, to
	}
	if b.hand == k {
		b.hand = to
	}
	k.next, k.previous = nil, nil
	k.slot.CompareAndSwap(k, to)
	b.arena.free(k.form)
}

func costOf(k *kept) int64 { return int64(k.form.Len()) + overhead }
