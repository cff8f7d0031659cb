package cache

import (
	"context"
	"fmt"
	"iter"
)

// snapshot is a tree that nobody changes any more.
type snapshot struct {
	*tree
	// from is the revision that made the tree what it is.
	from int64
	// replaced is the collection's when it did.
	replaced int64
}

// View is a collection at one revision. It stays as it is for as long as it is held, and holds in memory what has changed
// since; it is safe for concurrent use.
type View struct {
	collection *Collection
	snapshot   *snapshot
	revision   int64
}

// View is the present: it includes every write that was acknowledged before the call, and every one that some reader of the
// store has seen. It waits only for the first load of the collection.
func (c *Collection) View(ctx context.Context) (View, error) {
	if err := c.lock(ctx); err != nil {
		return View{}, fmt.Errorf("view %s: %w", c.resource.Prefix, err)
	}
	defer c.cache.mu.Unlock()
	return c.view(), nil
}

// ViewAt is the collection exactly as it was at a past revision: one that has not changed since, or one that is pinned, and that
// the store has not compacted. Others give ErrNotHeld, and a revision that does not exist yet ErrFutureRevision.
func (c *Collection) ViewAt(ctx context.Context, revision int64) (View, error) {
	view, err := c.viewAt(ctx, revision)
	if err != nil {
		return View{}, fmt.Errorf("view %s at revision %d: %w", c.resource.Prefix, revision, err)
	}
	return view, nil
}

func (c *Collection) viewAt(ctx context.Context, revision int64) (View, error) {
	present, err := c.View(ctx)
	switch {
	case err != nil:
		return View{}, err
	case revision > present.revision:
		return View{}, ErrFutureRevision
	case revision < c.cache.compacted():
		// The store has forgotten it, and answers so; pages of a list are to be told the same, wherever they come from.
		return View{}, ErrNotHeld
	case revision >= present.snapshot.from:
		present.revision = revision
		return present, nil
	}
	if view, found := c.cache.pins.find(c, revision); found {
		return view, nil
	}
	return View{}, ErrNotHeld
}

// lock locks Cache.mu when the collection is loaded and shows all that the store has shown to anybody.
func (c *Collection) lock(ctx context.Context) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	backend, err := c.cache.store()
	if err != nil {
		return err
	}
	revision, err := backend.Revision(ctx)
	if err != nil {
		return err
	}
	return c.cache.lockAt(ctx, max(revision, c.loadedAt))
}

// view is the present. Cache.mu must be held.
func (c *Collection) view() View {
	if c.snapshot == nil {
		c.snapshot = &snapshot{tree: c.present.clone(), from: c.changed, replaced: c.replaced.Load()}
	}
	return View{collection: c, snapshot: c.snapshot, revision: c.cache.revision}
}

// Revision is the store's revision, of all resources, that the view shows.
func (v View) Revision() int64 { return v.revision }

// Get is the state of one key, nil if it holds nothing.
func (v View) Get(key string) *Entry { return v.snapshot.get(key) }

// Scan is the entries with start <= key < end, in the order of their keys; an empty end is no bound.
func (v View) Scan(start, end string) iter.Seq[*Entry] { return v.snapshot.scan(start, end) }

// Count is how many entries Scan would give. It walks over them, unless they are all there are.
func (v View) Count(start, end string) int {
	if v.snapshot.within(start, end) {
		return v.Len()
	}
	n := 0
	for range v.Scan(start, end) {
		n++
	}
	return n
}

// Len is how many entries the collection has.
func (v View) Len() int { return v.snapshot.len() }

// past is about how many bytes of states the view holds in memory that are not the present any more.
func (v View) past() int64 { return v.collection.replaced.Load() - v.snapshot.replaced }

// Pin keeps the view for later pages of the same list: ViewAt finds it by its revision, until other pins or time push it out.
func (v View) Pin() { v.collection.cache.pins.add(v) }
