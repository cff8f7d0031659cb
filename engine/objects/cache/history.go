package cache

import (
	"context"

	"gatehouse/engine/storage"
)

// history is the events of a scope after a revision that has left the window, up to the view, read from the store. States that are
// still the present are the view's entries, so that their forms are shared.
func (c *Collection) history(ctx context.Context, q WatchRequest, upTo View) ([]*Event, error) {
	backend, err := c.cache.store()
	if err != nil {
		return nil, err
	}
	prefix := q.Scope
	if prefix == "" {
		prefix = c.resource.Prefix
	}
	source, err := backend.Watch(ctx, storage.WatchRequest{Prefix: prefix, After: q.After, Progress: true})
	if err != nil {
		return nil, err
	}
	defer source.Close()
	past := past{request: q, view: upTo, latest: map[string]*Entry{}}
	for reached := q.After; reached < upTo.revision; {
		var events []storage.Event
		if events, reached, err = source.Next(ctx); err != nil {
			return nil, err
		}
		if err := past.add(events); err != nil {
			return nil, err
		}
	}
	return past.events, nil
}

// past makes events of what the store tells of a scope's history.
type past struct {
	request WatchRequest
	view    View
	events  []*Event
	weight  int64
	latest  map[string]*Entry // the last state of each key that was told
}

// add takes in the next events, oldest first, and leaves out those beyond the view.
func (p *past) add(events []storage.Event) error {
	c := p.view.collection
	for i := range events {
		e := &events[i]
		if e.Item.ModRevision > p.view.revision || !p.request.covers(e.Item.Key) {
			continue
		}
		event := newEvent(c, e, p.entry(e), p.latest[e.Item.Key])
		p.latest[e.Item.Key] = event.Entry
		if e.Delete {
			delete(p.latest, e.Item.Key)
		}
		p.events = append(p.events, event)
		p.weight += event.weight()
		if o := c.cache.options; len(p.events) > o.WatchEvents || p.weight > o.WatchBytes {
			return ErrNotHeld
		}
	}
	return nil
}

// entry is the state after an event, nil for a deletion.
func (p *past) entry(e *storage.Event) *Entry {
	if e.Delete {
		return nil
	}
	if present := p.view.Get(e.Item.Key); present != nil && present.revision == e.Item.ModRevision {
		return present
	}
	return passingEntry(p.view.collection, e.Item.Key, e.Item.Value, e.Item.ModRevision)
}
