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

// forms is what has been made of an entry in one version, its content aside.
type forms struct {
	version *Version
	kept    [encodings]atomic.Pointer[kept]
	older   *forms
}

// kept is one form within the budget.
type kept struct {
	bytes          []byte
	used           atomic.Bool // since the budget last looked
	slot           *atomic.Pointer[kept]
	next, previous *kept // in the budget's ring; its mu guards them
}

// Form is the bytes of an encoded object. They never change and are not for holding: a Form can be copied from for as long as
// it is kept, and no longer. The zero Form is empty. It is safe for concurrent use.
type Form struct {
	bytes []byte
}

// NewForm makes a Form of bytes that nobody will change any more.
func NewForm(bytes []byte) Form { return Form{bytes} }

// Len is how many bytes there are.
func (f Form) Len() int { return len(f.bytes) }

// AppendTo appends the bytes to dst.
func (f Form) AppendTo(dst []byte) []byte { return append(dst, f.bytes...) }

// Slice is the bytes from one offset up to another; it panics where slicing a slice would.
func (f Form) Slice(from, to int) Form { return Form{f.bytes[from:to]} }

// Form is the object in a version and an encoding, made on first use and once, however many ask at the same time.
func (e *Entry) Form(v *Version, encoding Encoding) (Form, error) {
	if bytes := e.formAtHand(v, encoding); bytes != nil {
		return Form{bytes}, nil
	}
	e.making.Lock()
	defer e.making.Unlock()
	if bytes := e.formAtHand(v, encoding); bytes != nil {
		return Form{bytes}, nil
	}
	bytes, err := e.makeForm(v, encoding)
	if err != nil {
		return Form{}, fmt.Errorf("encode %s at revision %d: %w", e.key, e.revision, err)
	}
	e.keep(v, encoding, bytes)
	return Form{bytes}, nil
}

// formAtHand is nil when the form has to be made.
func (e *Entry) formAtHand(v *Version, encoding Encoding) []byte {
	if c := e.content.Load(); encoding == Protobuf && c != nil && c.in == v {
		return c.bytes
	}
	f := e.formsIn(v)
	if f == nil {
		return nil
	}
	k := f.kept[encoding].Load()
	if k == nil {
		return nil
	}
	k.touch()
	return k.bytes
}

// formsIn is nil when nothing has been kept in that version.
func (e *Entry) formsIn(v *Version) *forms {
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

// makeForm decodes and encodes.
func (e *Entry) makeForm(v *Version, encoding Encoding) ([]byte, error) {
	object, err := e.decode()
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
	return compact(bytes), nil
}

// keep keeps a form: instead of the stored bytes if it can stand for them, else in the budget. making must be held.
func (e *Entry) keep(v *Version, encoding Encoding, bytes []byte) {
	if c := e.content.Load(); encoding == Protobuf && v.Decode != nil && c != nil && c.in == nil {
		e.content.Store(&content{bytes: bytes, in: v})
		return
	}
	f := e.formsIn(v)
	if f == nil {
		f = &forms{version: v, older: e.forms.Load()}
		e.forms.Store(f)
	}
	slot := &f.kept[encoding]
	k := &kept{bytes: bytes, slot: slot}
	slot.Store(k)
	e.collection.cache.budget.add(k)
}

// retire gives up what is kept of an entry that hardly anybody will ask for again: it is not in the present any more, nor
// in the window. Whoever still holds it may have the forms made again. It never waits for a form that is being made.
func (e *Entry) retire() {
	for f := e.forms.Load(); f != nil; f = f.older {
		for i := range f.kept {
			if k := f.kept[i].Load(); k != nil {
				e.collection.cache.budget.remove(k)
			}
		}
	}
}
