package informers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	clientcache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

var (
	errStopped = errors.New("the informer has stopped")
	errStarted = errors.New("informer has already started")
)

// minResync is how often handlers can ask to be told of all objects again, at most; client-go's.
const minResync = time.Second

// informer is client-go's cache.SharedIndexInformer over the cache of encoded objects. It is safe for concurrent use.
type informer struct {
	store  *store
	source *source
	resync time.Duration // of handlers that do not say
	logger *slog.Logger
	clock  clock.WithTicker

	synced chan struct{} // closed when it has started and its objects, unless they are loaded on demand, are in memory
	sync   sync.Once     // closes synced

	mu       sync.Mutex      // guards all below
	ctx      context.Context // that it runs in; nil before it has started
	stopped  bool
	handlers map[*registration]struct{}
	running  sync.WaitGroup // the handlers' goroutines; none is added when stopped is set
}

var _ clientcache.SharedIndexInformer = (*informer)(nil)

func newInformer(kind schema.GroupVersionKind, resync time.Duration, from *sources, o Options) *informer {
	s := &source{kind: kind, sources: from, logger: o.Logger}
	return &informer{
		store:    newStore(s),
		source:   s,
		resync:   resync,
		logger:   o.Logger.With("kind", kind),
		clock:    o.Clock,
		synced:   make(chan struct{}),
		handlers: map[*registration]struct{}{},
	}
}

// Run implements cache.SharedInformer.
func (i *informer) Run(stop <-chan struct{}) { i.RunWithContext(wait.ContextForChannel(stop)) }

// RunWithContext implements cache.SharedInformer. It returns when ctx has ended and all handlers have.
func (i *informer) RunWithContext(ctx context.Context) {
	if !i.start(ctx) {
		i.logger.Warn("an informer was started that has been started before")
		return
	}
	i.load(ctx)
	<-ctx.Done()
	i.mu.Lock()
	i.stopped = true
	i.mu.Unlock()
	i.running.Wait()
}

func (i *informer) start(ctx context.Context) (first bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ctx != nil {
		return false
	}
	i.ctx = ctx
	for r := range i.handlers {
		i.running.Go(r.run)
	}
	return true
}

// load tries until the objects are in memory or ctx ends.
func (i *informer) load(ctx context.Context) {
	select {
	case <-i.source.sources.served:
	case <-ctx.Done():
		return
	}
	between := wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Cap: 10 * time.Second, Steps: math.MaxInt}
	_ = between.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) { // its only error is ctx's
		err := i.loadNow(ctx)
		if err != nil && ctx.Err() == nil {
			i.logger.Error("an informer has nothing to read yet, and tries again", "error", err)
		}
		return err == nil, nil
	})
}

// loadNow fails if there is nothing to read from yet. Bulk kinds without handlers are loaded by whoever first asks for an object:
// many such informers are only there for the case that one is.
func (i *informer) loadNow(ctx context.Context) error {
	objects, err := i.source.open()
	if err != nil {
		return err
	}
	if objects.lists != nil || i.hasHandlers() {
		if _, err := objects.Collection.Changed(ctx); err != nil {
			return err
		}
	}
	i.sync.Do(func() { close(i.synced) })
	return nil
}

func (i *informer) hasHandlers() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.handlers) > 0
}

// AddEventHandler implements cache.SharedInformer.
func (i *informer) AddEventHandler(handler clientcache.ResourceEventHandler) (clientcache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandlerWithOptions(handler, clientcache.HandlerOptions{})
}

// AddEventHandlerWithResyncPeriod implements cache.SharedInformer.
func (i *informer) AddEventHandlerWithResyncPeriod(
	handler clientcache.ResourceEventHandler, resync time.Duration,
) (clientcache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandlerWithOptions(handler, clientcache.HandlerOptions{ResyncPeriod: &resync})
}

// AddEventHandlerWithOptions implements cache.SharedInformer. Each handler has the resync period that it asks for, whenever it comes.
func (i *informer) AddEventHandlerWithOptions(
	handler clientcache.ResourceEventHandler, options clientcache.HandlerOptions,
) (clientcache.ResourceEventHandlerRegistration, error) {
	resync := i.resync
	if options.ResyncPeriod != nil {
		resync = *options.ResyncPeriod
	}
	if resync > 0 {
		resync = max(resync, minResync)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped {
		return nil, fmt.Errorf("add a handler of %s: %w", i.source.kind, errStopped)
	}
	r := newRegistration(i, handler, resync)
	i.handlers[r] = struct{}{}
	if i.ctx != nil {
		i.running.Go(r.run)
	}
	return r, nil
}

// RemoveEventHandler implements cache.SharedInformer.
func (i *informer) RemoveEventHandler(handle clientcache.ResourceEventHandlerRegistration) error {
	r, ours := handle.(*registration)
	if !ours {
		return fmt.Errorf("remove a handler of %s: a %T is no handle of this informer", i.source.kind, handle)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, registered := i.handlers[r]; !registered {
		return nil
	}
	delete(i.handlers, r)
	r.end()
	if i.ctx == nil {
		close(r.finished) // it will never run
	}
	return nil
}

// GetStore implements cache.SharedInformer.
func (i *informer) GetStore() clientcache.Store { return i.store }

// GetIndexer implements cache.SharedIndexInformer.
func (i *informer) GetIndexer() clientcache.Indexer { return i.store }

// AddIndexers implements cache.SharedIndexInformer. An index is made when it is first asked.
func (i *informer) AddIndexers(indexers clientcache.Indexers) error {
	if i.IsStopped() {
		return fmt.Errorf("add indexers of %s: %w", i.source.kind, errStopped)
	}
	return i.store.AddIndexers(indexers)
}

// HasSynced implements cache.SharedInformer. If that is what it takes to say yes, it loads the objects: that takes less than the
// tenth of a second after which upstream asks again.
func (i *informer) HasSynced() bool {
	if clientcache.IsDone(i.HasSyncedChecker()) {
		return true
	}
	i.mu.Lock()
	ctx := i.ctx
	i.mu.Unlock()
	return ctx != nil && i.loadNow(ctx) == nil
}

// HasSyncedChecker implements cache.SharedInformer.
func (i *informer) HasSyncedChecker() clientcache.DoneChecker {
	return done{name: "informer of " + i.source.kind.Kind, channel: i.synced}
}

// LastSyncResourceVersion implements cache.SharedInformer.
func (i *informer) LastSyncResourceVersion() string {
	if !i.HasSynced() {
		return ""
	}
	return i.store.LastStoreSyncResourceVersion()
}

// SetWatchErrorHandler implements cache.SharedInformer. There are no watches that could fail.
func (i *informer) SetWatchErrorHandler(clientcache.WatchErrorHandler) error {
	return i.beforeStart(nil)
}

// SetWatchErrorHandlerWithContext implements cache.SharedInformer.
func (i *informer) SetWatchErrorHandlerWithContext(clientcache.WatchErrorHandlerWithContext) error {
	return i.beforeStart(nil)
}

// SetTransform implements cache.SharedInformer.
func (i *informer) SetTransform(transform clientcache.TransformFunc) error {
	return i.beforeStart(func() { i.source.transformBy(transform) })
}

// beforeStart does what cannot be done any more once the informer has started.
func (i *informer) beforeStart(do func()) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ctx != nil {
		return errStarted
	}
	if do != nil {
		do()
	}
	return nil
}

// IsStopped implements cache.SharedInformer.
func (i *informer) IsStopped() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stopped
}

// GetController implements cache.SharedInformer; what it gives does nothing, as client-go's.
func (i *informer) GetController() clientcache.Controller { return controller{i} }

// controller is for those who ask the informer's controller whether it has synced.
type controller struct{ *informer }

// Run implements cache.Controller.
func (controller) Run(<-chan struct{}) {}

// RunWithContext implements cache.Controller.
func (controller) RunWithContext(context.Context) {}

// done is a cache.DoneChecker.
type done struct {
	name    string
	channel <-chan struct{}
}

// Name implements cache.DoneChecker.
func (d done) Name() string { return d.name }

// Done implements cache.DoneChecker.
func (d done) Done() <-chan struct{} { return d.channel }
