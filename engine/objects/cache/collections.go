package cache

import (
	"iter"
	"slices"
)

// collections finds the collections that a key belongs to, by one look-up per distinct length of prefix. Cache.mu guards it.
type collections struct {
	byPrefix map[string]*Collection
	lengths  []int // of the prefixes, ascending, each once
}

func (c *collections) add(collection *Collection) {
	prefix := collection.resource.Prefix
	c.byPrefix[prefix] = collection
	if at, known := slices.BinarySearch(c.lengths, len(prefix)); !known {
		c.lengths = slices.Insert(c.lengths, at, len(prefix))
	}
}

func (c *collections) of(key string) iter.Seq[*Collection] {
	return func(yield func(*Collection) bool) {
		for _, n := range c.lengths {
			if n > len(key) {
				return
			}
			if collection := c.byPrefix[key[:n]]; collection != nil && !yield(collection) {
				return
			}
		}
	}
}
