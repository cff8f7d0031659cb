package informers

import (
	"iter"

	"gatehouse/engine/objects/cache"
)

// known is what a handler has been told of: a view, and the states that it was told of since. It costs little beside the view,
// which the cache shares. It belongs to one goroutine. The zero known is nothing.
type known struct {
	base *cache.View
	// since has the states by key, nil for those deleted.
	since map[string]*cache.Entry
	// revision is the last one that was told.
	revision int64
}

// mostSince is how many states are remembered beside a view before a newer view is looked for.
const mostSince = 32

// start begins anew with a view.
func (k *known) start(view cache.View) {
	k.base, k.since, k.revision = &view, nil, max(k.revision, view.Revision())
}

// add remembers an event.
func (k *known) add(e *cache.Event) {
	if k.since == nil {
		k.since = map[string]*cache.Entry{}
	}
	entry := e.Entry
	if e.Kind == cache.Deleted {
		entry = nil
	}
	k.since[e.Entry.Key()] = entry
	k.revision = e.Revision
}

// settle takes the present instead, if that is just what is known.
func (k *known) settle(present cache.View) {
	if present.Changed() <= k.revision {
		k.start(present)
	}
}

// get is the state of a key, nil if there is none.
func (k *known) get(key string) *cache.Entry {
	if entry, changed := k.since[key]; changed {
		return entry
	}
	if k.base == nil {
		return nil
	}
	return k.base.Get(key)
}

// all is every state that is known, in no order.
func (k *known) all() iter.Seq[*cache.Entry] {
	return func(yield func(*cache.Entry) bool) {
		if k.base != nil {
			for entry := range k.base.Scan("", "") {
				if _, changed := k.since[entry.Key()]; !changed && !yield(entry) {
					return
				}
			}
		}
		for _, entry := range k.since {
			if entry != nil && !yield(entry) {
				return
			}
		}
	}
}
