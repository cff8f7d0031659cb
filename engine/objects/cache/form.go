package cache

import (
	"fmt"
	goruntime "runtime"
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
	// Encode makes the bytes of an object, which is Encode's own to change. Nobody may change the bytes any more.
	// It is called from many goroutines.
	Encode func(object runtime.Object, encoding Encoding) ([]byte, error)
	// Decode makes the whole object of its Protobuf form again, just as Resource.Decode makes it of the stored bytes. With it the
	// cache forgets the stored bytes of an object as soon as it has that form. nil where the form says less, or something else.
	Decode func(protobuf Form) (runtime.Object, error)
}

// Form is the bytes of an encoded object. They never change and are not for holding: a Form can be copied from for as long as
// it is kept, and no longer. The zero Form is empty. It is safe for concurrent use.
type Form struct {
	slab     *slab
	at, size uint32
}

// NewForm makes a Form of bytes that nobody will change any more. They stay where they are.
func NewForm(bytes []byte) Form { return Form{slab: &slab{memory: bytes}, size: uint32(len(bytes))} }

// Len is how many bytes there are.
func (f Form) Len() int { return int(f.size) }

// AppendTo appends the bytes to dst.
func (f Form) AppendTo(dst []byte) []byte {
	if f.size == 0 {
		return dst
	}
	dst = append(dst, f.slab.memory[f.at:f.at+f.size]...)
	goruntime.KeepAlive(f.slab)
	return dst
}

// Slice is the bytes from one offset up to another; it panics where slicing a slice would.
func (f Form) Slice(from, to int) Form {
	if from < 0 || from > to || to > int(f.size) {
		panic(fmt.Sprintf("slice [%d:%d] of a form of %d bytes", from, to, f.size))
	}
	return Form{slab: f.slab, at: f.at + uint32(from), size: uint32(to - from)}
}

// forms is what has been made of an entry in one version, its content aside.
type forms struct {
	version *Version
	kept    [encodings]atomic.Pointer[kept]
	older   *forms
}

// kept is one form within the budget.
type kept struct {
	form           Form
	used           atomic.Bool // since the budget last looked
	slot           *atomic.Pointer[kept]
	next, previous *kept // in the budget's ring; its mu guards them
}

// Form is the object in a version and an encoding, made on first use and once, however many ask at the same time.
func (e *Entry) Form(v *Version, encoding Encoding) (Form, error) {
	if form, found := e.formAtHand(v, encoding); found {
		return form, nil
	}
	e.making.Lock()
	defer e.making.Unlock()
	if form, found := e.formAtHand(v, encoding); found {
		return form, nil
	}
	bytes, err := e.makeForm(v, encoding)
	if err != nil {
		return Form{}, fmt.Errorf("encode %s at revision %d: %w", e.key, e.revision, err)
	}
	if e.passing {
		return NewForm(bytes), nil
	}
	return e.keep(v, encoding, bytes), nil
}

// formAtHand finds a form that has been made already.
func (e *Entry) formAtHand(v *Version, encoding Encoding) (form Form, found bool) {
	if c := e.content.Load(); encoding == Protobuf && c != nil && c.in == v {
		return c.form, true
	}
	f := e.formsIn(v)
	if f == nil {
		return Form{}, false
	}
	k := f.kept[encoding].Load()
	if k == nil {
		return Form{}, false
	}
	k.touch()
	return k.form, true
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
	return v.Encode(object, encoding)
}

// keep keeps a form: instead of the stored bytes if it can stand for them, else in the budget. making must be held.
func (e *Entry) keep(v *Version, encoding Encoding, bytes []byte) Form {
	arena := e.collection.cache.arena
	form := arena.store(bytes)
	if c := e.content.Load(); encoding == Protobuf && v.Decode != nil && c != nil && c.in == nil {
		e.replace(&content{form: form, in: v})
		return form
	}
	f := e.formsIn(v)
	if f == nil {
		f = &forms{version: v, older: e.forms.Load()}
		e.forms.Store(f)
	}
	slot := &f.kept[encoding]
	k := &kept{form: form, slot: slot}
	slot.Store(k)
	e.collection.cache.budget.add(k)
	return form
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
	e.retired.Store(true)
	if c := e.content.Load(); c != nil {
		e.free(c)
	}
}
