package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// dispatcher hands events to watchers, on a goroutine of its own, so that the writer's work does not grow with their number.
// Events for many watchers gather for a moment, those for few are handed out at once: RATIONALE.md, "Why do events for many
// watchers gather?".
type dispatcher struct {
	watchEvents int
	watchBytes  int64
	gather      time.Duration // at most

	// told is the revision up to which watchers have been handed everything.
	told atomic.Int64
	// slow is how many watchers have been cut off.
	slow atomic.Int64

	// wake holds a token when there may be news.
	wake      chan struct{}
	closing   chan struct{}
	closeOnce sync.Once
	stopped   chan struct{}

	queueMu  sync.Mutex // guards the three below; held only to append and to take
	queue    []delivery
	revision int64 // of the last commit, whether it concerned anybody or not
	closed   bool

	mu     sync.Mutex           // guards all topics of all collections, and the below; taken before a watcher's mu
	active map[*topics]struct{} // those that have watchers
	filled []*topic             // those that have a batch
	ended  bool
}

// delivery is what one commit did to one collection.
type delivery struct {
	collection *Collection
	events     []*Event
}

func newDispatcher(watchEvents int, watchBytes int64, gather time.Duration) *dispatcher {
	return &dispatcher{
		watchEvents: watchEvents, watchBytes: watchBytes, gather: gather,
		wake: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
		active: map[*topics]struct{}{},
	}
}

func (d *dispatcher) start() {
	go func() {
		defer close(d.stopped)
		due := time.NewTimer(0)
		defer due.Stop()
		for {
			select {
			case <-d.wake:
			case <-due.C:
			case <-d.closing:
				d.deliver(time.Time{})
				d.endAll()
				return
			}
			if wait := d.deliver(time.Now()); wait > 0 {
				due.Reset(wait)
			}
		}
	}()
}

func (d *dispatcher) close() {
	d.closeOnce.Do(func() { close(d.closing) })
	<-d.stopped
}

// add queues a commit's events of one collection.
func (d *dispatcher) add(c *Collection, events []*Event) {
	d.queueMu.Lock()
	defer d.queueMu.Unlock()
	if !d.closed {
		d.queue = append(d.queue, delivery{collection: c, events: events})
	}
}

// advance ends a commit.
func (d *dispatcher) advance(revision int64) {
	d.queueMu.Lock()
	d.revision = revision
	d.queueMu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default: // the token that is there will tell of this commit too
	}
}

// deliver hands out all that is due, however many commits that is: the more is to do, the less each costs. It returns how long
// to wait for what is not due yet, 0 if that is nothing. The zero time ends all waiting.
func (d *dispatcher) deliver(now time.Time) (wait time.Duration) {
	d.queueMu.Lock()
	queue, revision := d.queue, d.revision
	d.queue = nil
	d.queueMu.Unlock()
	for _, delivery := range queue {
		delivery.collection.topics.prepare(delivery.events)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	for _, delivery := range queue {
		d.filled = delivery.collection.topics.route(delivery.collection.resource.Prefix, delivery.events, d.filled)
	}
	waiting := d.filled[:0]
	for _, t := range d.filled {
		if !now.IsZero() && t.due.After(now) {
			waiting = append(waiting, t)
			revision = min(revision, t.batch[0].Revision-1)
			if left := t.due.Sub(now); wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		t.due = now.Add(min(t.gatherTime(), d.gather))
		d.handOut(t)
	}
	clear(d.filled[len(waiting):])
	d.filled = waiting
	d.told.Store(revision)
	return wait
}

// handOut gives a topic's batch to its watchers. mu must be held.
func (d *dispatcher) handOut(t *topic) {
	batch := &Batch{events: t.batch, weight: t.weight, watchers: len(t.watchers)}
	// Backwards, for the last one takes the place of one that is forgotten.
	for i := len(t.watchers) - 1; i >= 0; i-- {
		if w := t.watchers[i]; !w.offer(batch, d.watchEvents, d.watchBytes) {
			d.forget(w)
			d.slow.Add(1)
		}
	}
	t.batch, t.weight = nil, 0
}

// endAll ends the watchers; each still delivers what it has been offered.
func (d *dispatcher) endAll() {
	d.queueMu.Lock()
	d.closed = true
	d.queueMu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	for topics := range d.active {
		for _, topic := range topics.byKey {
			for _, w := range topic.watchers {
				w.end(ErrClosed)
				w.place = absent
			}
		}
		topics.clear()
	}
	clear(d.active)
}

// join has a watcher handed everything that is delivered from now on.
func (d *dispatcher) join(w *Watcher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		w.end(ErrClosed)
		return
	}
	d.active[&w.collection.topics] = struct{}{}
	w.collection.topics.join(w)
}

// leave undoes join; it does nothing for a watcher that is not there.
func (d *dispatcher) leave(w *Watcher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(w)
}

// forget is leave with mu held.
func (d *dispatcher) forget(w *Watcher) {
	if w.place == absent {
		return
	}
	topics := &w.collection.topics
	topics.leave(w)
	if len(topics.byKey) == 0 {
		delete(d.active, topics)
	}
}
