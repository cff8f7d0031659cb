package cache

import (
	"strings"
	"sync"
	"sync/atomic"
)

// dispatcher hands events to watchers, on a goroutine of its own, so that the writer's work does not grow with their number.
type dispatcher struct {
	watchEvents int
	watchBytes  int64

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
	ended  bool
}

// delivery is what one commit did to one collection.
type delivery struct {
	collection *Collection
	events     []*Event
}

func newDispatcher(watchEvents int, watchBytes int64) *dispatcher {
	return &dispatcher{
		watchEvents: watchEvents, watchBytes: watchBytes,
		wake: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
		active: map[*topics]struct{}{},
	}
}

func (d *dispatcher) start() {
	go func() {
		defer close(d.stopped)
		for {
			select {
			case <-d.wake:
				d.deliver()
			case <-d.closing:
				d.deliver()
				d.endAll()
				return
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

// deliver hands out all that is queued, however many commits that is: the more is to do, the less each costs.
func (d *dispatcher) deliver() {
	d.queueMu.Lock()
	queue, revision := d.queue, d.revision
	d.queue = nil
	d.queueMu.Unlock()

	d.mu.Lock()
	defer d.mu.Unlock()
	var touched []*topic
	for _, delivery := range queue {
		for _, e := range delivery.events {
			touched = delivery.collection.topics.route(delivery.collection.resource.Prefix, e, touched)
		}
	}
	for _, t := range touched {
		// Backwards, for the last one takes the place of one that is forgotten.
		for i := len(t.watchers) - 1; i >= 0; i-- {
			if w := t.watchers[i]; !w.offer(t.batch, t.weight, d.watchEvents, d.watchBytes) {
				d.forget(w)
				d.slow.Add(1)
			}
		}
		t.batch, t.weight = nil, 0
	}
	d.told.Store(revision)
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
		for _, topic := range topics.byScope {
			for _, w := range topic.watchers {
				w.end(ErrClosed)
				w.place = absent
			}
		}
		clear(topics.byScope)
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
	if len(topics.byScope) == 0 {
		delete(d.active, topics)
	}
}

// topics is the watchers of one collection by what they want to see of it. dispatcher.mu guards it.
type topics struct {
	byScope map[string]*topic
}

// topic is the watchers of one scope.
type topic struct {
	watchers []*Watcher // in no order; each knows its place
	// batch collects the scope's events during one delivery. Its watchers share it and never change it.
	batch  []*Event
	weight int64
}

// route adds an event to every topic it belongs to: that of everything, of each directory its key lies in, and of the key.
func (t topics) route(prefix string, e *Event, touched []*topic) []*topic {
	if len(t.byScope) == 0 {
		return touched
	}
	key := e.Entry.key
	touched = t.add("", e, touched)
	for end := len(prefix); end < len(key); {
		slash := strings.IndexByte(key[end:], '/')
		if slash < 0 {
			break
		}
		end += slash + 1
		touched = t.add(key[:end], e, touched)
	}
	return t.add(key, e, touched)
}

func (t topics) add(scope string, e *Event, touched []*topic) []*topic {
	topic := t.byScope[scope]
	if topic == nil {
		return touched
	}
	if topic.batch == nil {
		touched = append(touched, topic)
	}
	topic.batch = append(topic.batch, e)
	topic.weight += e.weight()
	return touched
}

// absent is the place of a watcher in no topic.
const absent = -1

func (t topics) join(w *Watcher) {
	of := t.byScope[w.scope]
	if of == nil {
		of = &topic{}
		t.byScope[w.scope] = of
	}
	w.place = len(of.watchers)
	of.watchers = append(of.watchers, w)
}

// leave takes a watcher out of its topic, where it must be.
func (t topics) leave(w *Watcher) {
	of := t.byScope[w.scope]
	last := len(of.watchers) - 1
	of.watchers[w.place] = of.watchers[last]
	of.watchers[w.place].place = w.place
	of.watchers[last] = nil
	of.watchers, w.place = of.watchers[:last], absent
	if last == 0 {
		delete(t.byScope, w.scope)
	}
}
