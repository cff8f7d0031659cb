package informers

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	clientcache "k8s.io/client-go/tools/cache"

	"gatehouse/engine/objects/cache"
)

// retryAfter is how long a handler's goroutine waits after it could not read on.
const retryAfter = time.Second

// registration is one event handler, its goroutine, and how far it has been told.
type registration struct {
	informer *informer
	handler  clientcache.ResourceEventHandler
	resync   time.Duration // 0 for never

	ctx context.Context // ends when the handler is to be told of nothing more
	end context.CancelFunc

	synced   chan struct{} // closed when the handler has been told of all objects
	finished chan struct{} // closed when its goroutine has ended

	// What it has been told of; the goroutine's.
	known known
}

var _ clientcache.ResourceEventHandlerRegistration = (*registration)(nil)

func newRegistration(i *informer, handler clientcache.ResourceEventHandler, resync time.Duration) *registration {
	r := &registration{informer: i, handler: handler, resync: resync, synced: make(chan struct{}), finished: make(chan struct{})}
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

// HasSynced implements cache.ResourceEventHandlerRegistration.
func (r *registration) HasSynced() bool { return clientcache.IsDone(r.HasSyncedChecker()) }

// HasSyncedChecker implements cache.ResourceEventHandlerRegistration.
func (r *registration) HasSyncedChecker() clientcache.DoneChecker {
	return done{name: fmt.Sprintf("handler %T of %s", r.handler, r.informer.source.kind.Kind), channel: r.synced}
}

// ShutdownChan is what client-go's cache.ShutDownEventHandler waits for.
func (r *registration) ShutdownChan() <-chan struct{} { return r.finished }

// run tells the handler everything until its context ends, or its informer's, which is running.
func (r *registration) run() {
	defer close(r.finished)
	defer context.AfterFunc(r.informer.ctx, r.end)()
	defer func() { r.known = known{} }() // it would keep a view in memory
	select {
	case <-r.informer.synced:
	case <-r.ctx.Done():
		return
	}
	var resync <-chan time.Time
	if r.resync > 0 {
		ticker := r.informer.clock.NewTicker(r.resync)
		defer ticker.Stop()
		resync = ticker.C()
	}
	for {
		err := r.follow(resync)
		switch {
		case r.ctx.Err() != nil || errors.Is(err, cache.ErrClosed):
			return
		case errors.Is(err, cache.ErrSlowWatcher):
			r.informer.logger.Info("a handler was slow, and reads on from where it is", "handler", fmt.Sprintf("%T", r.handler))
		default:
			r.informer.logger.Error("a handler could not be told of changes; trying again", "error", err)
			select {
			case <-r.informer.clock.After(retryAfter):
			case <-r.ctx.Done():
				return
			}
		}
	}
}

// follow tells the handler what it does not know yet, and then what happens, until something fails or the context ends.
func (r *registration) follow(resync <-chan time.Time) error {
	objects, err := r.informer.source.open()
	if err != nil {
		return err
	}
	watcher, view, err := r.watch(objects.Collection)
	if err != nil {
		return err
	}
	defer watcher.Close()
	if view != nil {
		r.catchUp(objects, *view)
	}
	for r.ctx.Err() == nil {
		events, _, err := watcher.Take()
		for _, e := range events {
			r.tell(objects, e)
		}
		if err != nil {
			return err
		}
		if err := r.settle(objects); err != nil {
			return err
		}
		select {
		case <-watcher.Ready():
		case <-resync:
			r.tellAll(objects)
		case <-r.ctx.Done():
		}
	}
	return r.ctx.Err()
}

// watch goes on after what is known. Where that is not possible, and at first, it begins at the view that it returns.
func (r *registration) watch(c *cache.Collection) (*cache.Watcher, *cache.View, error) {
	if r.known.revision > 0 {
		watcher, _, err := c.Watch(r.ctx, cache.WatchRequest{After: r.known.revision})
		if !errors.Is(err, cache.ErrNotHeld) && !errors.Is(err, cache.ErrCompacted) {
			return watcher, nil, err
		}
	}
	watcher, view, err := c.Watch(r.ctx, cache.WatchRequest{})
	return watcher, &view, err
}

// settle lets go of states that are no more, now and then.
func (r *registration) settle(objects *objects) error {
	if len(r.known.since) < mostSince {
		return nil
	}
	present, err := objects.view()
	if err == nil {
		r.known.settle(present)
	}
	return err
}

// catchUp tells the difference between what is known and a view: at first, all of it.
func (r *registration) catchUp(objects *objects, view cache.View) {
	initial := !r.HasSynced()
	for entry := range view.Scan("", "") {
		if r.ctx.Err() != nil {
			return
		}
		if previous := r.known.get(entry.Key()); previous == nil || previous.Revision() != entry.Revision() {
			r.tellState(objects, previous, entry, initial)
		}
	}
	for entry := range r.known.all() {
		if r.ctx.Err() != nil {
			return
		}
		if view.Get(entry.Key()) == nil {
			last, _ := objects.of(entry)
			r.call(func() {
				r.handler.OnDelete(clientcache.DeletedFinalStateUnknown{Key: objects.keyOf(entry), Obj: last})
			})
		}
	}
	r.known.start(view)
	if initial {
		close(r.synced)
	}
}

// tell passes an event on.
func (r *registration) tell(objects *objects, e *cache.Event) {
	if r.ctx.Err() != nil {
		return
	}
	if e.Kind == cache.Deleted {
		r.tellDeleted(objects, e.Entry)
	} else {
		r.tellState(objects, e.Previous, e.Entry, false)
	}
	r.known.add(e)
}

// tellState tells of a state that came after previous, which is nil for none. What cannot be decoded is not told.
func (r *registration) tellState(objects *objects, previous, entry *cache.Entry, initial bool) {
	// The old one first: decoding the new one may push it out of what is remembered.
	var old any
	if previous != nil {
		old, _ = objects.of(previous)
	}
	object, err := objects.of(entry)
	switch {
	case err != nil:
	case old == nil:
		r.call(func() { r.handler.OnAdd(object, initial) })
	default:
		r.call(func() { r.handler.OnUpdate(old, object) })
	}
}

// tellDeleted tells of an object that is gone, whose last state at the revision of its deletion is last.
func (r *registration) tellDeleted(objects *objects, last *cache.Entry) {
	object, err := objects.last(last)
	if err != nil {
		object = clientcache.DeletedFinalStateUnknown{Key: objects.keyOf(last)}
	}
	r.call(func() { r.handler.OnDelete(object) })
}

// tellAll is a resync: the handler is told of all that it knows, as if it had been updated.
func (r *registration) tellAll(objects *objects) {
	for entry := range r.known.all() {
		if r.ctx.Err() != nil {
			return
		}
		if object, err := objects.passing(entry); err == nil {
			r.call(func() { r.handler.OnUpdate(object, object) })
		}
	}
}

// call calls the handler. A handler that panics is not told of that once more; the server and the other handlers go on.
func (r *registration) call(tell func()) {
	defer func() {
		if failure := recover(); failure != nil {
			r.informer.logger.Error("a handler panicked", "handler", fmt.Sprintf("%T", r.handler),
				"panic", failure, "stack", string(debug.Stack()))
		}
	}()
	tell()
}
