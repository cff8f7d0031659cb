package sqlite

import (
	"context"
	"fmt"
	"sync"

	"gatehouse/engine/storage"
)

// historyWindow is how many revisions a watcher that catches up reads from history at once. When no more than that
// lie between it and the present, it joins the live ones and reads the rest while events already gather for it.
const historyWindow = 1024

// batchKept is how many events' room a watcher keeps for its next batch.
const batchKept = 256

// watcher starts in the past, reading history at the pace of its consumer, and goes live at the seam: the hub accepts
// it at a revision up to which it still reads history, and offers it everything later.
type watcher struct {
	store    *Store
	prefix   string
	progress bool

	// seen and seam belong to the goroutine in Next. Everything up to seen has been delivered; up to seam comes from
	// history.
	seen, seam int64
	live       bool
	batch      []storage.Event // what Next returned last, to be used again

	wake chan struct{} // holds a token when there may be news

	mu     sync.Mutex // guards all below
	queue  [][]storage.Event
	events int   // in queue
	bytes  int64 // in queue
	upTo   int64 // every event up to here has been offered
	ended  error // why there will be no more
}

// Watch implements storage.Store.
func (s *Store) Watch(ctx context.Context, q storage.WatchRequest) (storage.Watcher, error) {
	w, err := s.watch(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("watch %s after revision %d: %w", q.Prefix, q.After, err)
	}
	return w, nil
}

func (s *Store) watch(ctx context.Context, q storage.WatchRequest) (*watcher, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	switch {
	case q.After < 0:
		return nil, fmt.Errorf("there is no revision %d", q.After)
	case q.After == 0:
		q.After = s.hub.present()
	case q.After < s.compacted.Load():
		return nil, storage.ErrCompacted
	}
	w := &watcher{store: s, prefix: q.Prefix, progress: q.Progress, seen: q.After, wake: make(chan struct{}, 1)}
	w.join()
	return w, nil
}

// join goes live if the present is near enough; until then seam is how far history can be read for now.
func (w *watcher) join() {
	w.seam, w.live = w.store.hub.join(w, w.seen, historyWindow)
}

// Next implements storage.Watcher.
func (w *watcher) Next(ctx context.Context) ([]storage.Event, int64, error) {
	for {
		if err := w.mayGoOn(ctx); err != nil {
			return nil, 0, err
		}
		if w.seen < w.seam {
			events, err := w.catchUp(ctx)
			if err != nil {
				return nil, 0, fmt.Errorf("watch %s after revision %d: %w", w.prefix, w.seen, err)
			}
			if len(events) > 0 || (w.progress && w.live && w.seen == w.seam) {
				return events, w.seen, nil
			}
			continue
		}
		if !w.live {
			w.join()
			continue
		}
		events, news, err := w.take()
		if news || err != nil {
			return events, w.seen, err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// mayGoOn stops a watcher whose context ended, or that was cut off while it was still reading history.
func (w *watcher) mayGoOn(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != nil && len(w.queue) == 0 {
		return w.ended
	}
	return nil
}

// catchUp reads the next events between seen and seam from history.
func (w *watcher) catchUp(ctx context.Context) ([]storage.Event, error) {
	through := min(w.seam, w.seen+historyWindow)
	events, reached, err := w.store.readHistory(ctx, w.prefix, w.seen, through, w.emptyBatch())
	if err != nil {
		return nil, err
	}
	w.batch, w.seen = events, reached
	return events, nil
}

// take empties the queue. news is false when there is nothing to tell yet. The hub waits for mu, so no event is
// touched under it.
func (w *watcher) take() (events []storage.Event, news bool, err error) {
	w.mu.Lock()
	queue, upTo, ended := w.queue, w.upTo, w.ended
	w.queue, w.events, w.bytes = nil, 0, 0
	w.mu.Unlock()

	events = w.emptyBatch()
	for _, batch := range queue {
		for _, e := range batch {
			// A watcher that asked for the future is offered what comes before it too.
			if e.Item.ModRevision > w.seen {
				events = append(events, e)
			}
		}
	}
	moved := upTo > w.seen
	w.seen = max(w.seen, upTo)
	w.batch = events
	if len(events) > 0 || (moved && w.progress) {
		return events, true, nil
	}
	return nil, false, ended
}

// emptyBatch is what Next returned last, to be filled anew, unless it was so large that keeping it would be a waste.
func (w *watcher) emptyBatch() []storage.Event {
	if cap(w.batch) > batchKept {
		return nil
	}
	clear(w.batch)
	return w.batch[:0]
}

// offer is called by the hub, in commit order, and never waits. It returns false when the watcher has fallen too far
// behind: then what has gathered is dropped, so that a forgotten watcher holds no memory.
func (w *watcher) offer(batch []storage.Event, bytes, upTo int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.signal()
	o := &w.store.options
	if w.events > 0 && (w.events+len(batch) > o.WatchEvents || w.bytes+bytes > o.WatchBytes) {
		w.finish(storage.ErrSlowWatcher)
		return false
	}
	w.queue = append(w.queue, batch)
	w.events, w.bytes, w.upTo = w.events+len(batch), w.bytes+bytes, upTo
	return true
}

// advance says that nothing is missing up to a revision.
func (w *watcher) advance(upTo int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if upTo > w.upTo {
		w.upTo = upTo
		w.signal()
	}
}

// end says that there will be no more; what has been offered is still delivered.
func (w *watcher) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = err
	}
	w.signal()
}

// finish ends the watcher and drops what it was offered. mu must be held.
func (w *watcher) finish(err error) {
	if w.ended == nil {
		w.ended = err
	}
	w.queue, w.events, w.bytes = nil, 0, 0
}

// signal never blocks: a token that is there already tells of this news too.
func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Close implements storage.Watcher.
func (w *watcher) Close() {
	w.store.hub.leave(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finish(storage.ErrClosed)
	w.signal()
}
