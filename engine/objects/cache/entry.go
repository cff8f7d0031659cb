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
	size int64

	content    atomic.Pointer[content] // nil if there is a source
	attributes atomic.Pointer[Attributes]
	forms      atomic.Pointer[forms] // a list, newest first, that only grows

	// making is held while a form is made, so that it is made once.
	making sync.Mutex
}

// content is what an object can be decoded from.
type content struct {
	// bytes are as the store has them, or the Protobuf form in version in, which then has taken their place.
	bytes []byte
	in    *Version
}

func newEntry(c *Collection, key string, stored []byte, revision int64) *Entry {
	e := &Entry{collection: c, key: key, revision: revision, size: int64(len(stored))}
	e.content.Store(&content{bytes: stored})
	return e
}

// departed is an older state shown at the revision of the event that ended it, as watches show what was deleted.
func departed(previous *Entry, revision int64) *Entry {
	return &Entry{collection: previous.collection, key: previous.key, revision: revision, source: previous, size: previous.size}
}

// Key is where the store keeps the object.
func (e *Entry) Key() string { return e.key }

// Revision is the object's resourceVersion.
func (e *Entry) Revision() int64 { return e.revision }

// Object is the object, decoded anew; it is the caller's.
func (e *Entry) Object() (runtime.Object, error) {
	object, err := e.decode()
	if err != nil {
		return nil, fmt.Errorf("decode %s at revision %d: %w", e.key, e.revision, err)
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
		return content.in.Decode(content.bytes)
	}
	return e.collection.resource.Decode(e.key, content.bytes, e.revision)
}
