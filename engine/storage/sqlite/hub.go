package sqlite

import (
	"slices"
	"sync"

	"gatehouse/engine/storage"
)

// hub hands committed events to the live watchers, on the writer's goroutine and without ever waiting for one of them.
// Watchers of the same prefix form a topic; an event looks up one topic per distinct length of prefix, so
// that what a write costs does not depend on how many watchers look elsewhere.
type hub struct {
	store *Store
	// progress wakes reportProgress after commits; it holds one token at most.
	progress chan struct{}

	mu        sync.Mutex // guards all below; taken before a watcher's mu
	published int64      // every event up to this revision has been offered to the watchers
	topics    map[string]*topic
	lengths   []int       // the lengths of the topics' prefixes, ascending, each once
	byLength  map[int]int // how many topics have a prefix of that length
	curious   map[*watcher]struct{}
	closed    bool
}

// topic is the watchers of one prefix.
type topic struct {
	watchers map[*watcher]struct{}
	// batch collects, during one publish, the events of this prefix. Its watchers share it and never change it.
	batch []storage.Event
	bytes int64
}

func newHub(s *Store, revision int64) *hub {
	return &hub{
		store: s, published: revision, progress: make(chan struct{}, 1),
		topics: map[string]*topic{}, byLength: map[int]int{}, curious: map[*watcher]struct{}{},
	}
}

// publish offers one commit, whose last revision is given.
func (h *hub) publish(events []storage.Event, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var touched []*topic
	for _, e := range events {
		touched = h.route(e, touched)
	}
	for _, t := range touched {
		for w := range t.watchers {
			if !w.offer(t.batch, t.bytes, revision) {
				h.forget(w)
			}
		}
		t.batch, t.bytes = nil, 0
	}
	h.published = revision
	if len(h.curious) > 0 {
		select {
		case h.progress <- struct{}{}:
		default: // a report is due already and will tell of this revision too
		}
	}
}

// route adds an event to the batch of every topic it belongs to.
func (h *hub) route(e storage.Event, touched []*topic) []*topic {
	key := e.Item.Key
	for _, n := range h.lengths {
		if n > len(key) {
			break
		}
		t := h.topics[key[:n]]
		if t == nil {
			continue
		}
		if t.batch == nil {
			touched = append(touched, t)
		}
		t.batch, t.bytes = append(t.batch, e), t.bytes+size(e)
	}
	return touched
}

// size is what an event keeps in memory, roughly.
func size(e storage.Event) int64 {
	n := len(e.Item.Key) + len(e.Item.Value)
	if e.Previous != nil {
		n += len(e.Previous.Value)
	}
	return int64(n)
}

// join makes w live when it has, or will have read from history by itself, everything up to the revision that is
// returned. It refuses when that is more than window revisions away from what w has seen, and returns the published
// revision all the same.
func (h *hub) join(w *watcher, seen, window int64) (published int64, joined bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		w.end(storage.ErrClosed)
		return h.published, true
	}
	if h.published-seen > window {
		return h.published, false
	}
	t := h.topics[w.prefix]
	if t == nil {
		t = &topic{watchers: map[*watcher]struct{}{}}
		h.topics[w.prefix] = t
		h.countLength(len(w.prefix), 1)
	}
	t.watchers[w] = struct{}{}
	if w.progress {
		h.curious[w] = struct{}{}
	}
	return h.published, true
}

// leave undoes join; it does nothing for a watcher that is not live.
func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(w)
}

// forget is leave with mu held.
func (h *hub) forget(w *watcher) {
	delete(h.curious, w)
	t := h.topics[w.prefix]
	if t == nil {
		return
	}
	delete(t.watchers, w)
	if len(t.watchers) == 0 {
		delete(h.topics, w.prefix)
		h.countLength(len(w.prefix), -1)
	}
}

func (h *hub) countLength(n, change int) {
	h.byLength[n] += change
	at, known := slices.BinarySearch(h.lengths, n)
	switch {
	case h.byLength[n] == 0:
		delete(h.byLength, n)
		h.lengths = slices.Delete(h.lengths, at, at+1)
	case !known:
		h.lengths = slices.Insert(h.lengths, at, n)
	}
}

// present is the revision at which a watch that asks for "from now on" begins: nothing up to it may be told.
func (h *hub) present() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.published, h.store.revision.Load())
}

// reportProgress tells idle watchers that wanted to know how far the revision has come, at most once in
// ProgressInterval.
func (h *hub) reportProgress() {
	clock := h.store.options.Clock
	for {
		select {
		case <-h.progress:
		case <-h.store.closing:
			return
		}
		h.tellProgress()
		select {
		case <-clock.Until(clock.Now().Add(h.store.options.ProgressInterval)):
		case <-h.store.closing:
			return
		}
	}
}

func (h *hub) tellProgress() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.curious {
		w.advance(h.published)
	}
}

// close ends the watchers; each still delivers what it has been offered. Those that have not joined yet end when they
// try.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, t := range h.topics {
		for w := range t.watchers {
			w.end(storage.ErrClosed)
		}
	}
	clear(h.topics)
	clear(h.curious)
}
