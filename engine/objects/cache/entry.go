package cache

import (
	"fmt"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"
)

// Entry is the state of one object at one revision. Nothing about it ever changes but what has been made of it already. It
// is safe for concurrent use.
type Entry struct {
	collection *Collection
	key        string
	revision   int64
	// source has the content of an entry that shows an older state at a later revision; nil for all others.
	source *Entry
	// size is how many bytes the object has as the store keeps it.
	size uint32
	// passing says that the entry is for one reader, who will soon be done with it: then nothing is kept of it.
	passing bool
	// retired says that the content does not count as used any more.
	retired atomic.Bool

	content    atomic.Pointer[content] // nil if there is a source
	attributes atomic.Pointer[Attributes]
	forms      atomic.Pointer[forms] // a list, newest first, that only grows

	// making is held while a form is made, so that it is made once.
	making sync.Mutex
}

// content is what an object can be decoded from.
type content struct {
	// form is as the store has it, or the Protobuf form in version in, which then has taken its place.
	form  Form
	in    *Version
	freed atomic.Bool
}

// newEntry copies what is stored; the key is kept.
func newEntry(c *Collection, key string, stored []byte, revision int64) *Entry {
	e := &Entry{collection: c, key: key, revision: revision, size: uint32(len(stored))}
	e.content.Store(&content{form: c.cache.arena.store(stored)})
	return e
}

// passingEntry is for one reader who has asked for the past.
func passingEntry(c *Collection, key string, stored []byte, revision int64) *Entry {
	e := &Entry{collection: c, key: key, revision: revision, size: uint32(len(stored)), passing: true}
	e.content.Store(&content{form: NewForm(stored)})
	return e
}

// departed is an older state shown at the revision of the event that ended it, as watches show what was deleted.
func departed(previous *Entry, revision int64) *Entry {
	return &Entry{
		collection: previous.collection, key: previous.key, revision: revision, source: previous,
		size: previous.size, passing: previous.passing,
	}
}

// Key is where the store keeps the object.
func (e *Entry) Key() string { return e.key }

// Revision is the object's resourceVersion.
func (e *Entry) Revision() int64 { return e.revision }

// Object is the object, decoded anew; it is the caller's. It fails with ErrUnreadable.
func (e *Entry) Object() (runtime.Object, error) {
	object, err := e.decode()
	if err != nil {
		return nil, fmt.Errorf("decode %s at revision %d: %w: %w", e.key, e.revision, ErrUnreadable, err)
	}
	return object, nil
}

func (e *Entry) decode() (runtime.Object, error) {
	if e.source != nil {
		object, err := e.source.Object()
		if err != nil {
			return nil, err
		}
		return object, apistorage.APIObjectVersioner{}.UpdateObject(object, uint64(e.revision))
	}
	content := e.content.Load()
	if content.in != nil {
		return content.in.Decode(content.form)
	}
	return e.collection.resource.Decode(e.key, content.form.AppendTo(make([]byte, 0, content.form.Len())), e.revision)
}

// replace has another form take the content's place. Entry.making must be held.
func (e *Entry) replace(by *content) {
	for {
		before := e.content.Load()
		if e.content.CompareAndSwap(before, by) {
			e.free(before)
			break
		}
	}
	if e.retired.Load() {
		e.free(by)
	}
}

// free says once that a content does not count as used any more.
func (e *Entry) free(c *content) {
	if c.freed.CompareAndSwap(false, true) {
		e.collection.cache.arena.free(c.form)
	}
}

// move copies what is kept of the entry out of slabs that are mostly empty.
func (e *Entry) move() {
	if c := e.content.Load(); c != nil && c.form.sparse() && !c.freed.Load() {
		e.moveContent(c)
	}
	for f := e.forms.Load(); f != nil; f = f.older {
		for i := range f.kept {
			if k := f.kept[i].Load(); k != nil && k.form.sparse() {
				e.collection.cache.budget.move(k)
			}
		}
	}
}

func (e *Entry) moveContent(from *content) {
	to := &content{form: e.collection.cache.arena.move(from.form), in: from.in}
	if !e.content.CompareAndSwap(from, to) {
		e.free(to) // another form has taken its place in the meantime
		return
	}
	e.free(from)
	if e.retired.Load() {
		e.free(to)
	}
}
