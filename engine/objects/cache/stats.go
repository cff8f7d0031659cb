package cache

// Stats is what a cache holds, for metrics.
type Stats struct {
	// Collections is what has been loaded, by prefix.
	Collections map[string]CollectionStats
	// FormBytes is what the forms within the budget take.
	FormBytes int64
	// SlabBytes is how much memory encoded objects have outside of Go's heap, and UsedBytes what of it is in use.
	SlabBytes, UsedBytes int64
	// PinnedViews is how many views are kept for paging.
	PinnedViews int
	// SlowWatchers is how many watchers have been cut off so far.
	SlowWatchers int64
}

// CollectionStats is what a loaded collection holds.
type CollectionStats struct {
	// Entries is how many objects there are, Window how many events watches may resume from, Watchers how many watch.
	Entries, Window, Watchers int
}

// Stats counts what the cache holds. It is meant to be asked for now and then: it holds up the writer for a moment.
func (c *Cache) Stats() Stats {
	stats := Stats{Collections: map[string]CollectionStats{}, SlowWatchers: c.dispatcher.slow.Load()}
	c.mu.Lock()
	loaded := map[string]*Collection{}
	for prefix, collection := range c.collections.byPrefix {
		if collection.loaded.Load() {
			loaded[prefix] = collection
			stats.Collections[prefix] = CollectionStats{Entries: collection.present.len(), Window: len(collection.window.held)}
		}
	}
	c.mu.Unlock()
	for prefix, collection := range loaded {
		of := stats.Collections[prefix]
		of.Watchers = c.dispatcher.watchers(collection)
		stats.Collections[prefix] = of
	}
	stats.FormBytes = c.budget.bytes()
	stats.SlabBytes, stats.UsedBytes = c.arena.mapped.Load(), c.arena.used.Load()
	stats.PinnedViews = c.pins.len()
	return stats
}

// watchers is how many watch a collection.
func (d *dispatcher) watchers(c *Collection) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, topic := range c.topics.byKey {
		n += len(topic.watchers)
	}
	return n
}

// bytes is what the ring's forms take.
func (b *budget) bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

func (p *pins) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}
