package cache

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
)

// index finds the keys of objects by the value of one selectable field. Nobody pays for it before the first question, and the
// writer never does: whoever asks brings it up to date from the window first. It holds keys and no entries, so that it keeps no
// old state in memory.
type index struct {
	field string

	mu sync.Mutex // guards all below
	// at is the revision that last changed the collection as the index knows it; 0 before the first question.
	at   int64
	keys map[string]map[string]struct{} // by value
	// unread are the keys of objects that cannot be decoded, and so may have any value.
	unread map[string]struct{}
}

// ScanField is entries with start <= key < end in the order of their keys, among them all whose field has the value: no others
// where the resource has that field indexed, all of them otherwise. An object that cannot be decoded is among them: it may have it.
func (v View) ScanField(start, end, field, value string) iter.Seq[*Entry] {
	for _, index := range v.collection.indexes {
		if index.field != field {
			continue
		}
		if keys, current := index.lookup(v, value); current {
			return v.pick(keys, start, end)
		}
	}
	return v.Scan(start, end)
}

// pick is the entries of those keys that lie in the range.
func (v View) pick(keys []string, start, end string) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		first, _ := slices.BinarySearch(keys, start)
		for _, key := range keys[first:] {
			if end != "" && key >= end {
				return
			}
			if entry := v.Get(key); entry != nil && !yield(entry) {
				return
			}
		}
	}
}

// lookup is the keys with a value in a view, sorted. current is false if the index has already moved on beyond the view.
func (i *index) lookup(v View, value string) (keys []string, current bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if v.snapshot.from < i.at {
		return nil, false
	}
	i.advance(v)
	keys = make([]string, 0, len(i.keys[value])+len(i.unread))
	keys = slices.AppendSeq(keys, maps.Keys(i.keys[value]))
	keys = slices.AppendSeq(keys, maps.Keys(i.unread))
	slices.Sort(keys)
	return keys, true
}

// advance brings the index to where a view is: by the events in between if the window still has them. mu must be held.
func (i *index) advance(v View) {
	if i.at == v.snapshot.from {
		return
	}
	events, held := v.collection.eventsAfter(i.at)
	if i.at == 0 || !held {
		i.rebuild(v)
		return
	}
	for _, e := range events {
		if e.Revision > v.snapshot.from {
			break
		}
		if e.Previous != nil {
			i.drop(e.Previous)
		}
		if e.Kind != Deleted {
			i.add(e.Entry)
		}
	}
	i.at = v.snapshot.from
}

func (i *index) rebuild(v View) {
	i.keys, i.unread = map[string]map[string]struct{}{}, map[string]struct{}{}
	for e := range v.Scan("", "") {
		i.add(e)
	}
	i.at = v.snapshot.from
}

func (i *index) add(e *Entry) {
	attributes, err := e.Attributes()
	if err != nil {
		if errors.Is(err, ErrUnreadable) {
			i.unread[e.key] = struct{}{}
		}
		return
	}
	value := attributes.Fields.Get(i.field)
	keys := i.keys[value]
	if keys == nil {
		keys = map[string]struct{}{}
		i.keys[value] = keys
	}
	keys[e.key] = struct{}{}
}

// drop undoes add.
func (i *index) drop(e *Entry) {
	delete(i.unread, e.key)
	attributes, err := e.Attributes()
	if err != nil {
		return
	}
	value := attributes.Fields.Get(i.field)
	delete(i.keys[value], e.key)
	if len(i.keys[value]) == 0 {
		delete(i.keys, value)
	}
}

// eventsAfter is the window's events after a revision, if it holds all of them.
func (c *Collection) eventsAfter(revision int64) (events []*Event, held bool) {
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	return c.window.after(revision)
}
