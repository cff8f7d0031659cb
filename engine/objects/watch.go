package objects

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/util/flowcontrol"

	"gatehouse/engine/storage"
)

const (
	// resultBuffer is how many events wait for a client to take them; beyond it, they wait in the backend, whose patience
	// ends with ErrSlowWatcher.
	resultBuffer = 100
	// initialPage is how many objects a watch that starts with the present state holds in memory at once.
	initialPage = 1000
)

// Watch implements storage.Interface. All failures after the key and the revision were understood reach the caller as an
// event. With Predicate.AllowWatchBookmarks the watch sends bookmarks about once a minute and shortly before the deadline
// of ctx; with ProgressNotify, whenever the revision has moved on without an event for it. RecordTimestamps, which is a
// measuring aid between upstream's cache and its etcd client, is ignored.
func (s *Store) Watch(ctx context.Context, key string, opts apistorage.ListOptions) (watch.Interface, error) {
	prepared, err := s.prepareKey(key, opts.Recursive)
	if err != nil {
		return nil, err
	}
	start, err := s.startOf(ctx, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{
		store:          s,
		key:            prepared,
		recursive:      opts.Recursive,
		predicate:      opts.Predicate,
		everything:     opts.Predicate.Empty(),
		progressNotify: opts.ProgressNotify,
		results:        make(chan watch.Event, resultBuffer),
		cancel:         cancel,
		bookmarks:      newBookmarkTimer(ctx, s.clock, opts.Predicate.AllowWatchBookmarks),
	}
	go w.run(ctx, start)
	// Flow control holds a seat for a starting watch until it hears this. As in upstream's store over etcd, the initial
	// state is not waited for.
	flowcontrol.WatchInitialized(ctx)
	return w, nil
}

// watchStart says where a watch begins.
type watchStart struct {
	// revision is the last one the client has seen; with initial, the least that the initial state must show.
	revision int64
	// initial asks for the present state before the changes to it.
	initial bool
	// endBookmark asks for a bookmark after the initial state.
	endBookmark bool
}

func (s *Store) startOf(ctx context.Context, opts apistorage.ListOptions) (watchStart, error) {
	parsed, err := versioner.ParseResourceVersion(opts.ResourceVersion)
	if err != nil {
		return watchStart{}, err
	}
	start := watchStart{revision: int64(parsed)}
	switch {
	case opts.SendInitialEvents != nil && *opts.SendInitialEvents:
		start.initial, start.endBookmark = true, opts.Predicate.AllowWatchBookmarks
	case start.revision != 0:
	case opts.SendInitialEvents == nil:
		start.initial = true
	default:
		// From the present on, without the present: what is present has to be settled before the caller goes on.
		current, err := s.GetCurrentResourceVersion(ctx)
		if err != nil {
			return watchStart{}, err
		}
		start.revision = int64(current)
	}
	return start, nil
}

// watcher is one watch. Its goroutine owns all fields but cancel and results.
type watcher struct {
	store          *Store
	key            string
	recursive      bool
	predicate      apistorage.SelectionPredicate
	everything     bool // the predicate matches all objects
	progressNotify bool
	bookmarks      *bookmarkTimer

	// seen is the revision up to which the client has been told everything.
	seen    int64
	results chan watch.Event
	cancel  context.CancelFunc
}

// Stop implements watch.Interface.
func (w *watcher) Stop() { w.cancel() }

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.results }

// run ends with ctx, with the backend, or with an error event.
func (w *watcher) run(ctx context.Context, start watchStart) {
	defer close(w.results)
	defer w.cancel()
	defer w.bookmarks.stop()
	err := w.deliver(ctx, start)
	if err == nil || ctx.Err() != nil || errors.Is(err, storage.ErrClosed) {
		return
	}
	_ = w.send(ctx, errorEvent(err)) // fails only with ctx
}

// deliver sends everything there is to tell. It returns an error when that comes to an end, and turns a panic, which on this
// goroutine would end the server, into one.
func (w *watcher) deliver(ctx context.Context, start watchStart) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("watch %s: panic: %v", w.key, cause)
			utilruntime.HandleErrorWithContext(ctx, err, "Watch failed", "stack", string(debug.Stack()))
		}
	}()
	w.seen = start.revision
	if start.initial {
		if err := w.sendPresent(ctx, start); err != nil {
			return err
		}
	}
	if start.endBookmark {
		if err := w.sendBookmark(ctx, apistorage.AnnotateInitialEventsEndBookmark); err != nil {
			return err
		}
	}
	return w.follow(ctx)
}

// sendPresent sends the present state as additions.
func (w *watcher) sendPresent(ctx context.Context, start watchStart) error {
	request := storage.RangeRequest{Start: w.key, End: w.key + "\x00"}
	if w.recursive {
		request.End, request.Limit = storage.PrefixEnd(w.key), initialPage
	}
	for {
		page, err := w.store.backend.Range(ctx, request)
		if err != nil {
			return fmt.Errorf("read the initial state of %s: %w", w.key, err)
		}
		if start.revision > page.Revision {
			return apistorage.NewTooLargeResourceVersionError(uint64(start.revision), uint64(page.Revision), tooLargeRetrySeconds)
		}
		if request.Revision == 0 {
			request.Revision = page.Revision
			w.seen = page.Revision
		}
		for i := range page.Items {
			if err := w.sendChange(ctx, storage.Event{Item: page.Items[i]}); err != nil {
				return err
			}
		}
		if !page.More || len(page.Items) == 0 {
			return nil
		}
		request.Start = page.Items[len(page.Items)-1].Key + "\x00"
	}
}

// follow sends what changes after revision seen, and bookmarks when they are due.
func (w *watcher) follow(ctx context.Context) error {
	source, err := w.store.backend.Watch(ctx, storage.WatchRequest{
		Prefix:   w.key,
		After:    w.seen,
		Progress: w.progressNotify || w.bookmarks.wanted(),
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", w.key, err)
	}
	defer source.Close()
	for {
		events, revision, err := source.Next(w.bookmarks.context(ctx))
		if err != nil && !(errors.Is(err, context.Canceled) && ctx.Err() == nil && w.bookmarks.due()) {
			return fmt.Errorf("watch %s: %w", w.key, err)
		}
		for i := range events {
			if err := w.sendChange(ctx, events[i]); err != nil {
				return err
			}
		}
		moved := revision > w.seen
		w.seen = max(w.seen, revision)
		if w.bookmarks.due() {
			w.bookmarks.arm(ctx)
		} else if !w.progressNotify || !moved || len(events) > 0 {
			continue
		}
		if err := w.sendBookmark(ctx, nil); err != nil {
			return err
		}
	}
}

// sendBookmark tells the client that it has seen everything up to revision seen.
func (w *watcher) sendBookmark(ctx context.Context, annotate func(runtime.Object) error) error {
	object := w.store.newObject()
	if err := setRevision(object, w.seen); err != nil {
		return err
	}
	if annotate != nil {
		if err := annotate(object); err != nil {
			return fmt.Errorf("annotate bookmark of %s: %w", w.key, err)
		}
	}
	return w.send(ctx, watch.Event{Type: watch.Bookmark, Object: object})
}

// sendChange sends what a committed change means to this watch, if anything.
func (w *watcher) sendChange(ctx context.Context, change storage.Event) error {
	if !w.recursive && change.Item.Key != w.key {
		return nil
	}
	event, err := w.eventOf(ctx, change)
	if err != nil || event.Type == "" {
		return err
	}
	return w.send(ctx, event)
}

// send waits until there is room for the event, or ctx ends.
func (w *watcher) send(ctx context.Context, event watch.Event) error {
	select {
	case w.results <- event:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
