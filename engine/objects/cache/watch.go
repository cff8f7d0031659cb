package cache

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// WatchRequest says what a watch wants to see.
type WatchRequest struct {
	// Scope is what of the collection: "" for all of it, else the prefix of its keys, which ends with a slash (a namespace), or
	// one key.
	Scope string
	// Field and Value narrow it to events about objects that have the value in a selectable field, or had it before the event. They
	// save the others' way to this watch where the field is indexed; where it is not, or the events are of the past, others come as
	// well. No Field, no narrowing.
	Field, Value string
	// After is the last revision the caller has seen. 0 starts at the present view, which Watch returns. A revision that has not
	// been written yet is allowed: the watch then starts with the first event beyond it.
	After int64
	// Ended is called when the cache ends the watcher, because it is too slow or the cache closes: for those who may be busy
	// otherwise than with Next and Take. It is called with locks held and must not block. nil for nothing.
	Ended func()
}

// covers says whether a key is in the scope.
func (q WatchRequest) covers(key string) bool {
	return q.Scope == "" || key == q.Scope || (strings.HasSuffix(q.Scope, "/") && strings.HasPrefix(key, q.Scope))
}

// Watcher delivers the events of one scope in revision order, without gaps. Next and Take are for one goroutine; Close releases
// the watcher and may be called from any, more than once.
type Watcher struct {
	collection *Collection
	key        topicKey
	ready      chan struct{} // holds a token when there may be news
	place      int           // among the watchers of its topic; dispatcher.mu guards it
	onEnd      func()

	mu     sync.Mutex // guards all below
	queue  []*Batch
	events int32    // in queue
	ended  error    // why there will be no more
	weight int64    // in queue
	seen   int64    // everything up to it has been delivered, or was not to be
	missed []*Event // from before seen, to be delivered first
}

// Watch starts a watcher. For After 0, the view it begins at comes back too: view and events together miss nothing and say
// nothing twice. What has left the window is read from the store's history; ErrCompacted tells that it is gone there too, and
// ErrNotHeld that it is more than a watcher may have waiting.
func (c *Collection) Watch(ctx context.Context, q WatchRequest) (*Watcher, View, error) {
	if q.Scope == c.resource.Prefix {
		q.Scope = ""
	}
	w := &Watcher{collection: c, key: c.topicKey(q), place: absent, ready: make(chan struct{}, 1), onEnd: q.Ended}
	if w.onEnd == nil {
		w.onEnd = func() {}
	}
	// What is delivered between joining and beginning may be older than where the watcher begins: Take leaves it out.
	c.cache.dispatcher.join(w)
	view, err := c.begin(ctx, w, q)
	if err != nil {
		w.Close()
		return nil, View{}, fmt.Errorf("watch %s after revision %d: %w", cmp.Or(q.Scope, c.resource.Prefix), q.After, err)
	}
	return w, view, nil
}

// topicKey is what the dispatcher tells watchers apart by.
func (c *Collection) topicKey(q WatchRequest) topicKey {
	if q.Field == "" || !slices.Contains(c.resource.Indexed, q.Field) {
		return topicKey{scope: q.Scope}
	}
	return topicKey{scope: q.Scope, field: q.Field, value: q.Value}
}

// begin says what the watcher has seen already, and gives it what happened between After and that.
func (c *Collection) begin(ctx context.Context, w *Watcher, q WatchRequest) (View, error) {
	if q.After < 0 {
		return View{}, fmt.Errorf("there is no revision %d", q.After)
	}
	if err := c.lock(ctx); err != nil {
		return View{}, err
	}
	view := c.view()
	events, held := c.window.after(q.After)
	c.cache.mu.Unlock()
	switch {
	case q.After == 0:
		w.begin(nil, view.revision)
		return view, nil
	case !held:
		var err error
		if events, err = c.history(ctx, q, view); err != nil {
			return View{}, err
		}
	default:
		events = slices.DeleteFunc(events, func(e *Event) bool { return !q.covers(e.Entry.key) })
	}
	w.begin(events, max(q.After, view.revision))
	return View{}, nil
}

// begin makes the watcher deliver the events it has missed up to a revision, and then what is beyond that.
func (w *Watcher) begin(missed []*Event, seen int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.missed = seen, missed
	w.signal()
}

// Next waits for events and returns them, oldest first; the slice is shared and must not be changed. revision says up to where
// the watcher has now seen everything, also when ctx ends the waiting: then nothing is lost, and Next may be called again.
// Otherwise it ends with ErrSlowWatcher or ErrClosed.
func (w *Watcher) Next(ctx context.Context) (events []*Event, revision int64, err error) {
	for {
		events, revision, err = w.Take()
		if len(events) > 0 || err != nil {
			return events, revision, err
		}
		select {
		case <-w.ready:
		case <-ctx.Done():
			if events, revision, err = w.Take(); len(events) > 0 || err != nil {
				return events, revision, err
			}
			return nil, revision, ctx.Err()
		}
	}
}

// Ready delivers when Take may have something to tell; it may deliver once too often.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Take is Next without waiting: no events and no error mean that there is nothing new up to revision.
func (w *Watcher) Take() (events []*Event, revision int64, err error) {
	batches, revision, err := w.TakeBatches()
	if len(batches) == 1 {
		events = batches[0].events
		return events[:len(events):len(events)], revision, err
	}
	for _, batch := range batches {
		events = append(events, batch.events...)
	}
	return events, revision, err
}

// TakeBatches is Take for those who can share with other watchers what they make of the events.
func (w *Watcher) TakeBatches() (batches []*Batch, revision int64, err error) {
	// All up to here has been offered already, so that what is not in the queue now was not for this watcher.
	told := w.collection.cache.dispatcher.told.Load()
	w.mu.Lock()
	defer w.mu.Unlock()
	batches = w.unseen()
	w.missed, w.queue, w.events, w.weight = nil, nil, 0, 0
	if len(batches) > 0 {
		events := batches[len(batches)-1].events
		w.seen = max(w.seen, events[len(events)-1].Revision)
	}
	if w.ended == nil {
		w.seen = max(w.seen, told)
	}
	if len(batches) > 0 {
		return batches, w.seen, nil
	}
	return nil, w.seen, w.ended
}

// unseen is what is to be delivered next; it takes the queue's place in memory. mu must be held.
func (w *Watcher) unseen() []*Batch {
	unseen := w.queue[:0]
	if len(w.missed) > 0 {
		unseen = make([]*Batch, 0, 1+len(w.queue))
		unseen = append(unseen, &Batch{events: w.missed})
	}
	for _, batch := range w.queue {
		if batch = batch.after(w.seen); batch != nil {
			unseen = append(unseen, batch)
		}
	}
	return unseen
}

// after is what of a batch is of later revisions; nil if nothing is.
func (b *Batch) after(revision int64) *Batch {
	if b.events[0].Revision > revision {
		return b
	}
	first := slices.IndexFunc(b.events, func(e *Event) bool { return e.Revision > revision })
	if first < 0 {
		return nil
	}
	return &Batch{events: b.events[first:]}
}

// offer is the dispatcher's, in commit order, and never waits. It returns false when the watcher has fallen too far behind:
// then what has gathered is dropped, so that a forgotten watcher holds no memory.
func (w *Watcher) offer(batch *Batch, mostEvents int, mostWeight int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.signal()
	if w.events > 0 && (int(w.events)+len(batch.events) > mostEvents || w.weight+batch.weight > mostWeight) {
		w.finish(ErrSlowWatcher)
		w.onEnd()
		return false
	}
	w.queue = append(w.queue, batch)
	w.events, w.weight = w.events+int32(len(batch.events)), w.weight+batch.weight
	return true
}

// end says that there will be no more; what has been offered is still delivered.
func (w *Watcher) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = err
	}
	w.onEnd()
	w.signal()
}

// finish ends the watcher and drops what it was offered. mu must be held.
func (w *Watcher) finish(err error) {
	if w.ended == nil {
		w.ended = err
	}
	w.missed, w.queue, w.events, w.weight = nil, nil, 0, 0
}

// signal never blocks: a token that is there already tells of this news too.
func (w *Watcher) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// Close releases the watcher; its Next ends with ErrClosed.
func (w *Watcher) Close() {
	w.collection.cache.dispatcher.leave(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finish(ErrClosed)
	w.signal()
}
