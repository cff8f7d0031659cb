package cache

import (
	"iter"

	"k8s.io/utils/third_party/forked/golang/btree"
)

// tree is entries in the order of their keys. Any number of goroutines may read it while nobody writes to it; clones
// share what neither has changed.
type tree struct {
	btree *btree.BTree[item]
}

// item has the key beside the entry: a search then touches no entry but the one it finds.
type item struct {
	key   string
	entry *Entry
}

// degree of the tree: wide nodes make scans quick, narrow ones the copies that a write makes of what clones still see.
const degree = 16

func newTree() *tree {
	return &tree{btree.New(degree, func(a, b item) bool { return a.key < b.key })}
}

// put takes in an entry and returns the one it replaces, nil if there was none.
func (t *tree) put(e *Entry) *Entry {
	replaced, found := t.btree.ReplaceOrInsert(item{e.key, e})
	if !found {
		return nil
	}
	return replaced.entry
}

// remove returns what was removed, nil if there was nothing.
func (t *tree) remove(key string) *Entry {
	removed, _ := t.btree.Delete(item{key: key})
	return removed.entry
}

// get is nil for an absent key.
func (t *tree) get(key string) *Entry {
	found, _ := t.btree.Get(item{key: key})
	return found.entry
}

func (t *tree) clone() *tree { return &tree{t.btree.Clone()} }

func (t *tree) len() int { return t.btree.Len() }

// scan is the entries with start <= key < end; an empty end is no bound.
func (t *tree) scan(start, end string) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		each := func(i item) bool { return yield(i.entry) }
		if end == "" {
			t.btree.AscendGreaterOrEqual(item{key: start}, each)
			return
		}
		t.btree.AscendRange(item{key: start}, item{key: end}, each)
	}
}

// retire gives up a tree that nobody has seen.
func (t *tree) retire() {
	for e := range t.scan("", "") {
		e.retire()
	}
}

// within says that every key lies in [start, end).
func (t *tree) within(start, end string) bool {
	first, ok := t.btree.Min()
	if !ok {
		return true
	}
	last, _ := t.btree.Max()
	return start <= first.key && (end == "" || last.key < end)
}
