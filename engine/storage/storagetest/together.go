package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"gatehouse/engine/storage"
)

// together are the checks in which everything happens at the same time. They are worth most under the race detector.
var together = []check{
	{"each watcher that joins beside writers sees every event once and in order", func(e *env) {
		s := e.store()
		const writers, each, watchers = 8, 60, 24
		var collected [watchers][]storage.Event
		var after [watchers]int64
		var joining sync.WaitGroup
		for i := range watchers {
			joining.Go(func() {
				after[i], collected[i] = e.collect(s, i, writers*each)
			})
		}
		e.all(writers, func(i int) error {
			for n := range each {
				if _, _, err := s.Apply(e.soon(), storage.Write{Key: fmt.Sprintf("%d/%d", i, n)}); err != nil {
					return err
				}
			}
			return nil
		})
		joining.Wait()
		m := newModel()
		for _, event := range e.events(e.watch(s, storage.WatchRequest{After: 1}), writers*each) {
			m.add(event)
		}
		for i := range watchers {
			e.same(fmt.Sprintf("events of watcher %d after %d", i, after[i]), collected[i], m.after(after[i], ""))
		}
	}},
	{"writers, readers, watchers and compactions side by side agree on one history", func(e *env) {
		newHammer(e).run()
	}},
}

// collect joins at some revision that has been written, and takes all events to the end.
func (e *env) collect(s storage.Store, seed, writes int) (after int64, events []storage.Event) {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	now, err := s.Revision(e.soon())
	if err != nil {
		e.Error(err)
		return 0, nil
	}
	after = 1 + random.Int64N(now)
	w, err := s.Watch(e.soon(), storage.WatchRequest{After: after})
	if err != nil {
		e.Error(err)
		return after, nil
	}
	defer w.Close()
	for revision := after; revision < int64(1+writes); {
		var batch []storage.Event
		if batch, revision, err = w.Next(e.soon()); err != nil {
			e.Error(err)
			return after, events
		}
		events = append(events, batch...)
	}
	return after, events
}

// hammer runs everything against one store and afterwards compares what was seen with the one history that an
// observer recorded.
type hammer struct {
	*env
	store   storage.Store
	history []storage.Event // the observer's: the writer's goroutine alone, until all has ended

	writing atomic.Int32 // writers that have not ended
	// over ends with the last of them: news a watcher waits for then will not come.
	over context.Context
	end  context.CancelFunc

	mu    sync.Mutex // guards what follows
	reads []readSeen
	seen  []watchSeen
}

type readSeen struct {
	request storage.RangeRequest
	result  storage.RangeResult
}

type watchSeen struct {
	request storage.WatchRequest
	events  []storage.Event
	through int64
}

const (
	hammerWriters = 8
	hammerWrites  = 150
	hammerKeys    = 30
	hammerReaders = 4
	hammerWatches = 6
)

func newHammer(e *env) *hammer {
	h := &hammer{env: e}
	h.store = e.store(func(c *Config) {
		c.Observers = []storage.Observer{func(events []storage.Event) { h.history = append(h.history, events...) }}
	})
	h.writing.Store(hammerWriters)
	h.over, h.end = context.WithCancel(e.soon())
	return h
}

func (h *hammer) run() {
	h.all(hammerWriters+hammerReaders+hammerWatches+1, func(i int) error {
		random := rand.New(rand.NewPCG(uint64(i), 2))
		switch {
		case i < hammerWriters:
			defer func() {
				if h.writing.Add(-1) == 0 {
					h.end()
				}
			}()
			return h.write(random)
		case i < hammerWriters+hammerReaders:
			return h.whileWriting(func() error { return h.read(random) })
		case i < hammerWriters+hammerReaders+hammerWatches:
			return h.whileWriting(func() error { return h.watch(random) })
		default:
			return h.whileWriting(h.compact)
		}
	})
	h.ok(h.store.Close()) // now history is complete and nobody's
	h.verify()
}

func (h *hammer) whileWriting(step func() error) error {
	for h.over.Err() == nil {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// write makes random writes, some of which expect a revision that is not the key's any more.
func (h *hammer) write(random *rand.Rand) error {
	known := map[string]int64{}
	for n := range hammerWrites {
		key := fmt.Sprintf("%c/%d", 'a'+random.IntN(3), random.IntN(hammerKeys))
		w := storage.Write{Key: key, Value: fmt.Append(nil, n), Expected: known[key], Delete: random.IntN(4) == 0}
		if random.IntN(3) == 0 {
			w.Expected = storage.AnyRevision
		}
		_, revision, err := h.store.Apply(h.soon(), w)
		var conflict *storage.ConflictError
		switch {
		case errors.As(err, &conflict):
			known[key] = 0
			if conflict.Current != nil {
				known[key] = conflict.Current.ModRevision
			}
		case err != nil:
			return err
		case w.Delete:
			known[key] = 0
		default:
			known[key] = revision
		}
	}
	return nil
}

// read reads the present or some revision of the past.
func (h *hammer) read(random *rand.Rand) error {
	now, err := h.store.Revision(h.soon())
	if err != nil {
		return err
	}
	q := storage.RangeRequest{Start: string(rune('a' + random.IntN(3))), Limit: random.IntN(20)}
	q.CountOnly = random.IntN(4) == 0
	if random.IntN(3) > 0 {
		q.Revision = max(1, now-random.Int64N(100))
	}
	result, err := h.store.Range(h.soon(), q)
	if errors.Is(err, storage.ErrCompacted) && q.Revision < h.store.Compacted() {
		return nil
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads = append(h.reads, readSeen{q, result})
	return nil
}

// watch takes some events from somewhere in the past on.
func (h *hammer) watch(random *rand.Rand) error {
	now, err := h.store.Revision(h.soon())
	if err != nil {
		return err
	}
	q := storage.WatchRequest{Prefix: "abc"[:random.IntN(2)], After: max(1, now-random.Int64N(100)), Progress: true}
	seen := watchSeen{request: q}
	err = h.follow(&seen, 1+random.IntN(100))
	if errors.Is(err, storage.ErrCompacted) {
		err = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, seen)
	return err
}

func (h *hammer) follow(seen *watchSeen, revisions int) error {
	w, err := h.store.Watch(h.soon(), seen.request)
	if err != nil {
		return err
	}
	defer w.Close()
	seen.through = seen.request.After
	for seen.through < seen.request.After+int64(revisions) {
		batch, revision, err := w.Next(h.over)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if revision <= seen.through {
			return fmt.Errorf("Next went from revision %d to %d", seen.through, revision)
		}
		seen.through, seen.events = revision, append(seen.events, batch...)
	}
	return nil
}

// compact leaves the last fifty revisions.
func (h *hammer) compact() error {
	now, err := h.store.Revision(h.soon())
	if err != nil {
		return err
	}
	return h.store.Compact(h.soon(), max(0, now-50))
}

// verify replays the history and compares with it whatever was seen.
func (h *hammer) verify() {
	h.Helper()
	reads := map[int64][]readSeen{} // by the revision that was read
	for _, read := range h.reads {
		revision := read.request.Revision
		if revision == 0 {
			revision = read.result.Revision
		}
		reads[revision] = append(reads[revision], read)
	}
	m := newModel()
	h.verifyReads(m, reads[m.revision])
	for _, event := range h.history {
		if event.Item.ModRevision != m.revision+1 {
			h.Fatalf("an event has revision %d after %d", event.Item.ModRevision, m.revision)
		}
		var want *storage.Item
		if previous, exists := m.now[event.Item.Key]; exists {
			want = &previous
		}
		h.same(fmt.Sprint("state before ", event.Item.ModRevision), event.Previous, want)
		m.add(event)
		h.verifyReads(m, reads[m.revision])
	}
	for _, seen := range h.seen {
		var want []storage.Event
		for _, event := range m.after(seen.request.After, seen.request.Prefix) {
			if event.Item.ModRevision <= seen.through {
				want = append(want, event)
			}
		}
		h.same(fmt.Sprintf("watch %+v", seen.request), seen.events, want)
	}
	h.Logf("%d commits, %d reads, %d watches", len(h.history), len(h.reads), len(h.seen))
	if len(h.reads) == 0 || len(h.seen) == 0 {
		h.Error("nothing was read or watched beside the writers")
	}
}

// verifyReads compares reads at one revision with the model at that revision.
func (h *hammer) verifyReads(m *model, reads []readSeen) {
	h.Helper()
	for _, read := range reads {
		q := read.request
		q.Revision = 0
		want := m.read(q)
		want.Revision = read.result.Revision
		h.same(fmt.Sprintf("read %+v", read.request), read.result, want)
	}
}
