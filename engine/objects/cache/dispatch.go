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

	// wake holds a token when there may be news.
	wake      chan struct{}
	closing   chan struct{}
	closeOnce sync.Once
	stopped   chan struct{}

	queueMu  sync.Mutex // guards the three below; held only to append and to take
	queue    []delivery
	revision int64 // of the last commit, whether it concerned anybody or not
	closed   bool

	mu     sync.Mutex            // guards all topics of all collections, and the below; taken before a watcher's mu
	joined map[*Watcher]struct{} // all that are to be told of the end
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
		joined: map[*Watcher]struct{}{},
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
		for w := range t.watchers {
			if !w.offer(t.batch, t.weight, d.watchEvents, d.watchBytes) {
				d.forget(w)
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
	for w := range d.joined {
		w.end(ErrClosed)
		d.forget(w)
	}
}

// join has a watcher handed everything that is delivered from now on.
func (d *dispatcher) join(w *Watcher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		w.end(ErrClosed)
		return
	}
	d.joined[w] = struct{}{}
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
	delete(d.joined, w)
	w.collection.topics.leave(w)
}

// topics is the watchers of one collection by what they want to see of it. dispatcher.mu guards it.
type topics struct {
	byScope map[string]*topic
}

// topic is the watchers of one scope.
type topic struct {
	watchers map[*Watcher]struct{}
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

func (t topics) join(w *Watcher) {
	of := t.byScope[w.scope]
	if of == nil {
		of = &topic{watchers: map[*Watcher]struct{}{}}
		t.byScope[w.scope] = of
	}
	of.watchers[w] = struct{}{}
}

func (t topics) leave(w *Watcher) {
	of := t.byScope[w.scope]
	if of == nil {
		return
	}
	delete(of.watchers, w)
	if len(of.watchers) == 0 {
		delete(t.byScope, w.scope)
	}
}
