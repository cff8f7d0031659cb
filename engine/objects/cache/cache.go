// Package cache is the current state of all resources in memory, as encoded bytes: what GET, LIST and WATCH are answered from.
//
// The store's writer feeds it in commit order and before any write is acknowledged (Cache.Observe), so that a View is
// linearizable: it shows every write acknowledged before it was asked for, all of them up to one exact revision. Views are
// snapshots of an ordered copy-on-write tree, taken in constant time and read without locks; recent ones can be pinned for
// paging. Each resource keeps a bounded window of its last events, from which watches resume, and hands new ones to its
// watchers through bounded buffers: a slow watcher is cut off and delays neither the writer nor another watcher.
//
// The state of an object at one revision is an Entry. Its forms, the bytes that clients get, are made when they are first
// asked for, by the very steps an uncached read would take (decode, convert, encode), and then kept. What is kept
// beyond one encoding of each object stays within a budget of bytes. A collection is loaded when it is first looked at and then
// kept: RATIONALE.md, "Why is nothing unloaded that nobody reads?".
//
// All bytes are outside of Go's heap, packed into slabs; a Form can be copied from and is never handed out. With both
// encodings made, a pod of 4.4 KB in JSON and 2.6 KB in Protobuf takes 7.4 KB of a server's anonymous memory at rest
// (go run ./tests/bench/read -memory 50000), of which 7.0 are those bytes.
//
// The package knows nothing of HTTP, of kinds or of encodings: how stored bytes become an object and an object becomes bytes
// is told by Resource and Version.
package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"gatehouse/engine/storage"
)

var (
	// ErrNotHeld: the revision asked for is older than what the cache keeps; the store's history may still have it.
	ErrNotHeld = errors.New("revision is not held in memory")
	// ErrCompacted: the revision asked for is older than the store's history.
	ErrCompacted = storage.ErrCompacted
	// ErrFutureRevision: the revision asked for has not been written yet.
	ErrFutureRevision = storage.ErrFutureRevision
	// ErrSlowWatcher: the watcher did not take its events fast enough; it may watch again from the last revision it saw.
	ErrSlowWatcher = storage.ErrSlowWatcher
	// ErrClosed: the cache has been closed, or the store it reads.
	ErrClosed = storage.ErrClosed
	// ErrUnreadable: what is stored under a key cannot be decoded.
	ErrUnreadable = errors.New("object cannot be decoded")
	// ErrNotServed: Serve has not yet told where to read from.
	ErrNotServed = errors.New("the cache has no store to read from yet")
)

// Options bound what a cache may keep. The zero value of each field is its default.
type Options struct {
	// FormBytes is how much encoded forms may take that could be made anew: all of them but the one encoding that stands for an
	// object's stored bytes. The least recently used go first. 256 MiB.
	FormBytes int64
	// WindowEvents and WindowBytes bound the events of each resource that watches may resume from: 8192 events, 4 MiB of the
	// states that they replaced.
	WindowEvents int
	WindowBytes  int64
	// WatchEvents and WatchBytes bound what waits for a watcher to take it: 8192 events, 16 MiB of objects (which watchers
	// share). A watcher that falls behind further ends with ErrSlowWatcher.
	WatchEvents int
	WatchBytes  int64
	// GatherTime bounds how long events wait for others after them before many watchers are handed them: 30 ms. Negative for not at
	// all. Those for few watchers never wait.
	GatherTime time.Duration
	// PinnedViews and PinTime bound the views kept for paging: 64 of all resources together, for 5 minutes since their last use. Each
	// goes before that when what it keeps from the past grows beyond PinnedBytes: 16 MiB of states that have been replaced.
	PinnedViews int
	PinTime     time.Duration
	PinnedBytes int64
	// Logger gets what no caller waits for. Discarded by default.
	Logger *slog.Logger
	// Clock is the wall clock by default.
	Clock clock.PassiveClock
}

func (o Options) withDefaults() Options {
	setDefault(&o.FormBytes, 256<<20)
	setDefault(&o.WindowEvents, 8192)
	setDefault(&o.WindowBytes, 4<<20)
	setDefault(&o.WatchEvents, 8192)
	setDefault(&o.WatchBytes, 16<<20)
	setDefault(&o.GatherTime, 30*time.Millisecond)
	setDefault(&o.PinnedViews, 64)
	setDefault(&o.PinTime, 5*time.Minute)
	setDefault(&o.PinnedBytes, 16<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Cache is the state of all attached resources. All methods are safe for concurrent use.
type Cache struct {
	options    Options
	arena      *arena
	budget     *budget
	pins       *pins
	dispatcher *dispatcher
	sweeper    *sweeper
	backend    atomic.Pointer[storage.Store]

	// mu guards all below, and what collections say it guards. It is held for a handful of map and tree operations, never
	// while something is decoded, encoded, read or waited for: the writer takes it.
	mu          sync.Mutex
	revision    int64 // every commit up to it has been observed
	collections collections
	moved       chan struct{} // closed when revision moves on; nil while nobody waits for that
}

// New makes an empty cache and starts its two goroutines, one that hands events to watchers and one that keeps its memory tidy;
// Close ends them.
func New(options Options) *Cache {
	options = options.withDefaults()
	arena := newArena()
	c := &Cache{
		options:     options,
		arena:       arena,
		budget:      newBudget(options.FormBytes, arena),
		sweeper:     newSweeper(),
		pins:        newPins(options),
		dispatcher:  newDispatcher(options.WatchEvents, options.WatchBytes, options.GatherTime),
		collections: collections{byPrefix: map[string]*Collection{}},
	}
	c.dispatcher.start()
	c.sweeper.start(c)
	return c
}

// Serve gives the cache the store whose writer feeds it: the one that has Observe among its observers, from before its first
// commit on. Until then Views and Watches fail with ErrNotServed.
func (c *Cache) Serve(ctx context.Context, backend storage.Store) error {
	revision, err := backend.Revision(ctx)
	if err != nil {
		return fmt.Errorf("serve the cache from its store: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// What was committed before this needs no observing: no collection has been loaded yet.
	c.revision = max(c.revision, revision)
	c.backend.Store(&backend)
	return nil
}

// Close ends the watchers with ErrClosed, once they have taken what they were handed, and the goroutines that New started.
func (c *Cache) Close() {
	c.dispatcher.close()
	c.sweeper.close()
}

// Observe is the storage.Observer of the store that the cache serves from. It runs on the writer's goroutine and does,
// for each event, one replacement in a tree; it decodes nothing and waits for nobody.
func (c *Cache) Observe(events []storage.Event) {
	if len(events) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var touched []*Collection
	for i := range events {
		touched = c.route(&events[i], touched)
	}
	c.revision = events[len(events)-1].Item.ModRevision
	for _, collection := range touched {
		c.dispatcher.add(collection, collection.batch)
		collection.tellFollowers()
		collection.batch = nil
	}
	c.dispatcher.advance(c.revision)
	c.pins.expire()
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

// route gives an event to the collections it belongs to. mu must be held.
func (c *Cache) route(e *storage.Event, touched []*Collection) []*Collection {
	for collection := range c.collections.of(e.Item.Key) {
		first := collection.batch == nil
		collection.observe(e)
		if first && collection.batch != nil {
			touched = append(touched, collection)
		}
	}
	return touched
}

// lockAt locks mu when the feed has reached a revision, which was read from the store and so is about to be observed.
func (c *Cache) lockAt(ctx context.Context, revision int64) error {
	for {
		c.mu.Lock()
		if c.revision >= revision {
			return nil
		}
		if c.moved == nil {
			c.moved = make(chan struct{})
		}
		moved := c.moved
		c.mu.Unlock()
		select {
		case <-moved:
		case <-c.dispatcher.closing:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// store is where the cache reads what it has not loaded yet.
func (c *Cache) store() (storage.Store, error) {
	backend := c.backend.Load()
	if backend == nil {
		return nil, ErrNotServed
	}
	return *backend, nil
}

// compacted is the newest revision that the store has been told to forget what is before it, 0 for none.
func (c *Cache) compacted() int64 {
	backend, err := c.store()
	if err != nil {
		return 0
	}
	return backend.Compacted()
}
