package storagetest

import (
	"cmp"
	"slices"
	"strings"

	"gatehouse/engine/storage"
)

// model is a store as simple as can be: all events ever. The suite compares real stores to it.
type model struct {
	revision int64
	events   []storage.Event
	now      map[string]storage.Item
}

func newModel() *model { return &model{revision: 1, now: map[string]storage.Item{}} }

// apply does what Store.Apply must do for a write without TTL; ok is false for a conflict.
func (m *model) apply(w storage.Write) (event storage.Event, ok bool) {
	previous, exists := m.now[w.Key]
	if w.Expected != storage.AnyRevision && w.Expected != previous.ModRevision || w.Delete && !exists {
		return storage.Event{}, false
	}
	event = storage.Event{
		Item:   storage.Item{Key: w.Key, CreateRevision: m.revision + 1, ModRevision: m.revision + 1},
		Delete: w.Delete,
	}
	if exists {
		event.Previous = &previous
		event.Item.CreateRevision = previous.CreateRevision
	}
	if !w.Delete {
		event.Item.Value = w.Value
	}
	m.add(event)
	return event, true
}

// add takes over an event.
func (m *model) add(event storage.Event) {
	m.revision = event.Item.ModRevision
	m.events = append(m.events, event)
	if event.Delete {
		delete(m.now, event.Item.Key)
	} else {
		m.now[event.Item.Key] = event.Item
	}
}

// follow applies the same writes, all of which must succeed, to the model and a store.
func (m *model) follow(e *env, s storage.Store, writes []storage.Write) {
	e.Helper()
	for _, w := range writes {
		if _, ok := m.apply(w); !ok {
			e.Fatalf("the model refuses %+v", w)
		}
		e.apply(s, w)
	}
}

// read does what Store.Range must do.
func (m *model) read(q storage.RangeRequest) storage.RangeResult {
	then := m
	if q.Revision != 0 {
		then = m.at(q.Revision)
	}
	result := storage.RangeResult{Revision: m.revision}
	for key, item := range then.now {
		if key >= q.Start && (q.End == "" || key < q.End) {
			result.Items = append(result.Items, item)
		}
	}
	slices.SortFunc(result.Items, func(a, b storage.Item) int { return cmp.Compare(a.Key, b.Key) })
	result.Count = int64(len(result.Items))
	if q.CountOnly {
		result.Items = nil
	} else if q.Limit > 0 && q.Limit < len(result.Items) {
		result.Items, result.More = result.Items[:q.Limit], true
	}
	return result
}

// at is the model as it was.
func (m *model) at(revision int64) *model {
	then := newModel()
	for _, event := range m.events {
		if event.Item.ModRevision <= revision {
			then.add(event)
		}
	}
	return then
}

// after is what a watch must tell.
func (m *model) after(revision int64, prefix string) []storage.Event {
	var events []storage.Event
	for _, event := range m.events {
		if event.Item.ModRevision > revision && strings.HasPrefix(event.Item.Key, prefix) {
			events = append(events, event)
		}
	}
	return events
}
