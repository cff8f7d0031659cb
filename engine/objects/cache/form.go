package cache

import (
	"fmt"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
)

// Encoding names one of the two encodings that forms are kept in.
type Encoding int

// The encodings.
const (
	JSON Encoding = iota
	Protobuf
	encodings
)

// Version is one way in which objects of a resource are served: a version of the API, or a reduction such as their metadata.
// Entries keep the forms of each Version under its address; make each once.
type Version struct {
	// Encode makes the bytes of an object, which is Encode's own to change. The bytes go to the cache: nobody may change them.
	// It is called from many goroutines.
	Encode func(object runtime.Object, encoding Encoding) ([]byte, error)
	// Decode makes the whole object of its Protobuf form again, just as Resource.Decode makes it of the stored bytes. With it the
	// cache forgets the stored bytes of an object as soon as it has that form. nil where the form says less, or something else.
	Decode func(protobuf []byte) (runtime.Object, error)
}

// forms is what has been made of an entry in one version.
type forms struct {
	version *Version
	kept    [encodings]atomic.Pointer[kept]
	older   *forms
}

// kept is one form. Those in the budget belong to its ring.
type kept struct {
	bytes []byte
	used  atomic.Bool // since the budget last looked
	// slot is where the form is kept; nil outside the budget, for what is never given up.
	slot           *atomic.Pointer[kept]
	next, previous *kept // in the budget's ring; the budget's mu guards them
}

// Form is the bytes of the object in a version and an encoding, which are shared and must not be changed. They are made on
// first use and once, however many ask at the same time.
func (e *Entry) Form(v *Version, encoding Encoding) ([]byte, error) {
	if f := e.formsOf(v); f != nil {
		if k := f.kept[encoding].Load(); k != nil {
			k.touch()
			return k.bytes, nil
		}
	}
	bytes, err := e.makeForm(v, encoding)
	if err != nil {
		return nil, fmt.Errorf("encode %s at revision %d: %w", e.key, e.revision, err)
	}
	return bytes, nil
}

// formsOf is nil when nothing has been made in that version.
func (e *Entry) formsOf(v *Version) *forms {
	f := e.forms.Load()
	for f != nil && f.version != v {
		f = f.older
	}
	return f
}

// touch avoids writing to memory that other processors read as well.
func (k *kept) touch() {
	if !k.used.Load() {
		k.used.Store(true)
	}
}

func (e *Entry) makeForm(v *Version, encoding Encoding) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.formsOf(v)
	if f == nil {
		f = &forms{version: v, older: e.forms.Load()}
		e.forms.Store(f)
	} else if k := f.kept[encoding].Load(); k != nil {
		return k.bytes, nil
	}
	object, err := e.decode(e.content, e.contentIn)
	if err != nil {
		return nil, err
	}
	if e.collection.selected.Load() {
		// Should it fail, whoever asks for the attributes is told.
		_, _ = e.attributesOf(object)
	}
	bytes, err := v.Encode(object, encoding)
	if err != nil {
		return nil, err
	}
	bytes = compact(bytes)
	e.keep(f, encoding, bytes)
	return bytes, nil
}

// keep keeps a form: in the budget, or instead of the stored bytes if it can stand for them. mu must be held.
func (e *Entry) keep(f *forms, encoding Encoding, bytes []byte) {
	slot := &f.kept[encoding]
	if encoding == Protobuf && f.version.Decode != nil && e.source == nil && e.contentIn == nil {
		e.content, e.contentIn = bytes, f.version
		slot.Store(&kept{bytes: bytes})
		return
	}
	k := &kept{bytes: bytes, slot: slot}
	slot.Store(k)
	e.collection.cache.budget.add(k)
}

// retire gives up what is kept of an entry that hardly anybody will ask for again: it is not in the present any more, nor
// in the window. Whoever still holds it may have the forms made again. It never waits for a form that is being made.
func (e *Entry) retire() {
	for f := e.forms.Load(); f != nil; f = f.older {
		for i := range f.kept {
			if k := f.kept[i].Load(); k != nil && k.slot != nil {
				e.collection.cache.budget.remove(k)
			}
		}
	}
}
