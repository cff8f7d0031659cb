package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/storage"
)

// Resource says what a collection holds and how to read it.
type Resource struct {
	// Prefix is what all keys of the resource begin with, and no others: "/registry/pods/".
	Prefix string
	// Decode makes an object of stored bytes, as a read by its key at that revision would show it: decrypted, converted to the
	// version that Attributes and Version.Encode work with, with its resourceVersion, decorated. The object is the caller's, and
	// value is Decode's own. It is called from many goroutines.
	Decode func(key string, value []byte, revision int64) (runtime.Object, error)
	// Attributes tells the labels and the selectable fields of a decoded object.
	Attributes apistorage.AttrFunc
	// Indexed are the fields by which View.ScanField finds objects without looking at all of them.
	Indexed []string
}

// Collection is the state of one resource. It is loaded when it is first looked at, and from then on kept up to date.
type Collection struct {
	cache    *Cache
	resource Resource
	topics   topics
	shapes   shapes
	indexes  []*index

	// selected says that somebody has asked for attributes: then they are worth making whenever an object is decoded anyway.
	selected atomic.Bool
	// page is how many objects a load reads at a time.
	page int
	// loading holds a token while somebody loads the collection.
	loading chan struct{}
	// loaded is set once, when all that Cache.mu guards below is filled in.
	loaded atomic.Bool
	// loadedAt is the revision at which the store was read; it may run ahead of Cache.revision for a moment. Set before loaded.
	loadedAt int64
	// replaced is how many bytes of states have been replaced or deleted since, about. It only grows, under Cache.mu.
	replaced atomic.Int64

	// Cache.mu guards all below.
	gathering bool            // a load is under way and needs the events beside it
	gathered  []storage.Event // since it began
	present   *tree
	changed   int64     // the revision that last changed it
	snapshot  *snapshot // of it as it is; nil if none has been taken since it changed
	window    window
	batch     []*Event // of the Observe that is running
	followers []*Follower
}

// Attach registers a resource and returns its collection. Nothing is read before the collection is first looked at. A second
// call with the same prefix returns the first one's collection: resources that share their objects share their state.
func (c *Cache) Attach(r Resource) *Collection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if collection := c.collections.byPrefix[r.Prefix]; collection != nil {
		return collection
	}
	collection := &Collection{
		cache: c, resource: r, page: loadPage, loading: make(chan struct{}, 1),
		topics: newTopics(r.Indexed),
		window: window{events: c.options.WindowEvents, bytes: c.options.WindowBytes},
	}
	for _, field := range r.Indexed {
		collection.indexes = append(collection.indexes, &index{field: field})
	}
	c.collections.add(collection)
	return collection
}

// load makes sure that the collection is loaded. Whoever comes first loads, in its own context; others wait, and take over
// should it give up.
func (c *Collection) load(ctx context.Context) error {
	if c.loaded.Load() {
		return nil
	}
	select {
	case c.loading <- struct{}{}:
		defer func() { <-c.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.loaded.Load() {
		return nil
	}
	if err := c.loadNow(ctx); err != nil {
		return fmt.Errorf("load %s into the cache: %w", c.resource.Prefix, err)
	}
	return nil
}

// loadNow reads the store at one revision and adds what the feed has told since it began. What is committed before the reading is in
// what was read, what is committed later is observed while gathering: nothing falls between.
func (c *Collection) loadNow(ctx context.Context) error {
	backend, err := c.cache.store()
	if err != nil {
		return err
	}
	c.gather(true)
	read, revision, err := c.read(ctx, backend, c.page)
	if errors.Is(err, storage.ErrCompacted) {
		// The store forgot the revision of the first page before the last one was read. All at once, it cannot.
		read, revision, err = c.read(ctx, backend, 0)
	}
	if err != nil {
		c.gather(false)
		return err
	}
	c.settle(read, revision)
	return nil
}

// loadPage is how many objects are read at a time while a collection is loaded, so that not all are in memory twice.
const loadPage = 5000

// read makes a tree of what the store holds at one revision, reading so many objects at a time, or all at once for 0.
func (c *Collection) read(ctx context.Context, backend storage.Store, page int) (*tree, int64, error) {
	prefix := c.resource.Prefix
	planted := newTree()
	request := storage.RangeRequest{Start: prefix, End: storage.PrefixEnd(prefix), Limit: page}
	for {
		result, err := backend.Range(ctx, request)
		if err != nil {
			planted.retire()
			return nil, 0, err
		}
		if request.Revision == 0 {
			request.Revision = result.Revision
		}
		c.plant(planted, result.Items)
		if !result.More || len(result.Items) == 0 {
			return planted, request.Revision, nil
		}
		request.Start = result.Items[len(result.Items)-1].Key + "\x00"
	}
}

// plant adds to a tree what the store holds.
func (c *Collection) plant(planted *tree, items []storage.Item) {
	for i := range items {
		item := &items[i]
		planted.put(newEntry(c, item.Key, item.Value, item.ModRevision))
	}
}

func (c *Collection) gather(on bool) {
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	c.gathering, c.gathered = on, nil
}

// settle puts what was read at a revision into service.
func (c *Collection) settle(read *tree, revision int64) {
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	c.present, c.changed, c.loadedAt = read, revision, revision
	c.window.start(revision)
	c.loaded.Store(true)
	for i := range c.gathered {
		c.observe(&c.gathered[i])
	}
	// No watcher has begun yet: none has to be told.
	c.batch = nil
	c.gathering, c.gathered = false, nil
}

// observe takes in one event. Cache.mu must be held.
func (c *Collection) observe(e *storage.Event) {
	switch {
	case !c.loaded.Load():
		if c.gathering {
			c.gathered = append(c.gathered, *e)
		}
	case e.Item.ModRevision > c.loadedAt:
		event := c.apply(e)
		c.window.add(event)
		c.batch = append(c.batch, event)
		c.changed, c.snapshot = event.Revision, nil
		c.replaced.Add(event.size())
	}
}

// apply changes the present.
func (c *Collection) apply(e *storage.Event) *Event {
	if e.Delete {
		return newEvent(c, e, nil, c.present.remove(e.Item.Key))
	}
	entry := newEntry(c, e.Item.Key, e.Item.Value, e.Item.ModRevision)
	return newEvent(c, e, entry, c.present.put(entry))
}
