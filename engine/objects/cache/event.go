package cache

import (
	"slices"
	"sync/atomic"

	"gatehouse/engine/storage"
)

// Kind says what an event did.
type Kind int

// The kinds of events.
const (
	Added Kind = iota
	Modified
	Deleted
)

// Event is one change of one object. Watchers share events: nobody changes them.
type Event struct {
	Kind     Kind
	Revision int64
	// Entry is the new state; for Deleted, the last state shown at the revision of the deletion.
	Entry *Entry
	// Previous is the state before; nil for Added.
	Previous *Entry

	departed atomic.Pointer[Entry]
}

// newEvent describes e. entry and previous are the states after and before as far as they are known already.
func newEvent(c *Collection, e *storage.Event, entry, previous *Entry) *Event {
	event := &Event{Revision: e.Item.ModRevision, Entry: entry, Previous: previous}
	if previous == nil && e.Previous != nil {
		event.Previous = passingEntry(c, e.Item.Key, e.Previous.Value, e.Previous.ModRevision)
	}
	switch {
	case e.Delete:
		event.Kind, event.Entry = Deleted, departed(event.Previous, event.Revision)
	case event.Previous != nil:
		event.Kind = Modified
	}
	return event
}

// Departed is the state before shown at the event's revision, as a watch shows an object that its selector does not match any
// more: one entry for all watchers. nil for Added.
func (e *Event) Departed() *Entry {
	if e.Kind != Modified {
		if e.Kind == Added {
			return nil
		}
		return e.Entry
	}
	if e.departed.Load() == nil {
		e.departed.CompareAndSwap(nil, departed(e.Previous, e.Revision))
	}
	return e.departed.Load()
}

// size is about what the event holds in memory that nothing else does: the state it replaced.
func (e *Event) size() int64 {
	if e.Previous == nil {
		return eventBytes
	}
	return eventBytes + int64(e.Previous.size)
}

// eventBytes is what an event and an entry take without the object, about.
const eventBytes = 256

// weight is about how many bytes of objects a watcher needs for the event.
func (e *Event) weight() int64 { return eventBytes + int64(e.Entry.size) }

// retire gives up the forms of the states that only the event held.
func (e *Event) retire() {
	if e.Previous != nil {
		e.Previous.retire()
	}
	if e.Kind == Deleted {
		e.Entry.retire()
	}
	if left := e.departed.Load(); left != nil {
		left.retire()
	}
}

// window is a collection's last events: all those after revision from. Cache.mu guards it.
type window struct {
	events int   // at most
	bytes  int64 // at most, of what only the window holds

	from int64
	held []*Event
	used int64
}

// start makes an empty window that begins after a revision.
func (w *window) start(revision int64) { w.from, w.held, w.used = revision, nil, 0 }

func (w *window) add(e *Event) {
	w.held = append(w.held, e)
	w.used += e.size()
	for len(w.held) > w.events || (w.used > w.bytes && len(w.held) > 1) {
		w.shift()
	}
}

// shift lets go of the oldest event.
func (w *window) shift() {
	oldest := w.held[0]
	w.held[0] = nil
	w.held = w.held[1:]
	w.from = oldest.Revision
	w.used -= oldest.size()
	oldest.retire()
}

// after is a copy of the events after a revision. held is false when some of them have left the window.
func (w *window) after(revision int64) (events []*Event, held bool) {
	if revision < w.from {
		return nil, false
	}
	at, _ := slices.BinarySearchFunc(w.held, revision+1, func(e *Event, r int64) int {
		switch {
		case e.Revision < r:
			return -1
		case e.Revision > r:
			return 1
		default:
			return 0
		}
	})
	return slices.Clone(w.held[at:]), true
}
