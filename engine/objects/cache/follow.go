package cache

import (
	"context"
	"fmt"
	"slices"
)

// Follower learns which of the collections that it follows have changed: one of them all, where a Watcher for each would take a
// goroutine and a queue of its own. It is told no events; whoever wants to know what happened asks the collection, see Since.
// It is safe for concurrent use.
type Follower struct {
	cache *Cache
	news  chan struct{} // holds a token when there may be something to take
	// changed are the collections that have changed since they were taken. Cache.mu guards it.
	changed []*Collection
}

// Follow makes a Follower of nothing yet. It costs nothing any more once all its collections have been dropped.
func (c *Cache) Follow() *Follower {
	return &Follower{cache: c, news: make(chan struct{}, 1)}
}

// Add follows a collection, too. What is not loaded does not change: look at it once after this.
func (f *Follower) Add(c *Collection) {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if !slices.Contains(c.followers, f) {
		c.followers = append(c.followers, f)
	}
}

// Drop follows a collection no longer.
func (f *Follower) Drop(c *Collection) {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	c.followers = slices.DeleteFunc(c.followers, func(other *Follower) bool { return other == f })
	f.changed = slices.DeleteFunc(f.changed, func(other *Collection) bool { return other == c })
}

// News delivers when there may be changed collections to take.
func (f *Follower) News() <-chan struct{} { return f.news }

// Take is the collections that have changed since the last call, each once.
func (f *Follower) Take() []*Collection {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	changed := f.changed
	f.changed = nil
	return changed
}

// tellFollowers is for the feed. Cache.mu must be held.
func (c *Collection) tellFollowers() {
	for _, f := range c.followers {
		if slices.Contains(f.changed, c) {
			continue
		}
		f.changed = append(f.changed, c)
		select {
		case f.news <- struct{}{}:
		default: // a token that is there already tells of this, too
		}
	}
}

// Since is the events after a revision, oldest first, up to the present, which includes every write that was acknowledged before
// the call; they are shared and must not be changed. upTo is the revision that last changed the collection. held is false when
// some of the events have left the window: then a View tells what there is.
func (c *Collection) Since(ctx context.Context, revision int64) (events []*Event, upTo int64, held bool, err error) {
	if err := c.lock(ctx); err != nil {
		return nil, 0, false, fmt.Errorf("see what happened to %s after revision %d: %w", c.resource.Prefix, revision, err)
	}
	defer c.cache.mu.Unlock()
	if c.changed == revision {
		return nil, revision, true, nil
	}
	events, held = c.window.after(revision)
	return events, c.changed, held, nil
}

// Get is the present state of one key, nil if it holds nothing. It includes every write that was acknowledged before the call, and
// makes no snapshot.
func (c *Collection) Get(ctx context.Context, key string) (*Entry, error) {
	if err := c.lock(ctx); err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	defer c.cache.mu.Unlock()
	return c.present.get(key), nil
}

// AppendContent appends the bytes that the object is decoded from: as the store has them, or the Protobuf form of a Version that
// has taken their place. It is for those who look for something in them without decoding the object.
func (e *Entry) AppendContent(to []byte) []byte {
	if e.source != nil {
		return e.source.AppendContent(to)
	}
	return e.content.Load().form.AppendTo(to)
}
