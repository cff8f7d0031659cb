// Package binary reads of a WebAssembly module what tells its kind before anything is compiled: what it imports and exports, and its
// custom sections. It checks no more of the module than it has to read; that is the compiler's work.
package binary

import (
	"errors"
	"fmt"
	"math"
)

// Kind says what is imported or exported.
type Kind byte

// The kinds of imports and exports, as the format numbers them.
const (
	Function Kind = iota
	Table
	Memory
	Global
	Tag
)

// Import is one thing that a module imports.
type Import struct {
	Module, Name string
	Kind         Kind
	// Type is how the format describes what is imported; it is a view of the module's bytes.
	Type []byte
}

// Export is one thing that a module exports.
type Export struct {
	Name string
	Kind Kind
	// Index is the thing's number among those of its kind.
	Index uint32
}

// SectionID numbers the sections of a module.
type SectionID byte

// The sections that this package knows of.
const (
	CustomSection SectionID = 0
	ImportSection SectionID = 2
	MemorySection SectionID = 5
	ExportSection SectionID = 7
)

// Section is one section of a module, in its order there.
type Section struct {
	ID SectionID
	// Body is a view of the module's bytes, without the section's header.
	Body []byte
}

// Module is what was read. It holds views of the bytes it was read from.
type Module struct {
	Sections []Section
	Imports  []Import
	Exports  []Export
}

// magic begins every module, with the format's version.
const magic = "\x00asm\x01\x00\x00\x00"

// Read reads the outline of a module.
func Read(wasm []byte) (*Module, error) {
	if len(wasm) < len(magic) || string(wasm[:len(magic)]) != magic {
		return nil, errors.New("no WebAssembly module of version 1")
	}
	m := &Module{}
	r := &reader{rest: wasm[len(magic):]}
	for len(r.rest) > 0 && r.err == nil {
		section := Section{ID: SectionID(r.byte())}
		section.Body = r.bytes()
		if r.err == nil {
			r.err = m.add(section)
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("damaged module: %w", r.err)
	}
	return m, nil
}

func (m *Module) add(s Section) error {
	m.Sections = append(m.Sections, s)
	r := &reader{rest: s.Body}
	switch s.ID {
	case ImportSection:
		for range r.count() {
			m.Imports = append(m.Imports, r.importOne())
		}
	case ExportSection:
		for range r.count() {
			m.Exports = append(m.Exports, Export{Name: string(r.bytes()), Kind: Kind(r.byte()), Index: r.number()})
		}
	}
	return r.err
}

// Custom returns the contents of the first custom section of a name.
func (m *Module) Custom(name string) ([]byte, bool) {
	all := m.CustomAll(name)
	if len(all) == 0 {
		return nil, false
	}
	return all[0], true
}

// CustomAll returns the contents of all custom sections of a name, in their order.
func (m *Module) CustomAll(name string) [][]byte {
	var all [][]byte
	for _, s := range m.Sections {
		if content, ok := s.custom(name); ok {
			all = append(all, content)
		}
	}
	return all
}

// custom is what the section holds if it is a custom one of that name.
func (s Section) custom(name string) ([]byte, bool) {
	if s.ID != CustomSection {
		return nil, false
	}
	r := &reader{rest: s.Body}
	found := r.bytes()
	return r.rest, r.err == nil && string(found) == name
}

// Exported reports whether the module exports a thing of this kind and name.
func (m *Module) Exported(kind Kind, name string) bool {
	for _, e := range m.Exports {
		if e.Kind == kind && e.Name == name {
			return true
		}
	}
	return false
}

// ImportsFrom reports whether the module imports anything of another.
func (m *Module) ImportsFrom(module string) bool {
	for _, i := range m.Imports {
		if i.Module == module {
			return true
		}
	}
	return false
}

// reader takes values off the front of rest. After an error, which it keeps, it gives zeros.
type reader struct {
	rest []byte
	err  error
}

var errShort = errors.New("it ends too soon")

func (r *reader) byte() byte {
	if r.err != nil || len(r.rest) == 0 {
		r.fail(errShort)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// number reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) number() uint32 {
	n := r.number64()
	if n > math.MaxUint32 {
		r.fail(errors.New("a number has more than 32 bits"))
		return 0
	}
	return uint32(n)
}

func (r *reader) number64() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	r.fail(errors.New("a number has more than 64 bits"))
	return 0
}

// count reads how many things follow, each of which takes a byte at least.
func (r *reader) count() uint32 {
	n := r.number()
	if int64(n) > int64(len(r.rest)) {
		r.fail(errShort)
		return 0
	}
	return n
}

func (r *reader) bytes() []byte {
	n := r.count()
	if r.err != nil {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) importOne() Import {
	i := Import{Module: string(r.bytes()), Name: string(r.bytes()), Kind: Kind(r.byte())}
	before := r.rest
	switch i.Kind {
	case Function:
		r.number()
	case Table:
		r.byte()
		r.limits()
	case Memory:
		r.limits()
	case Global:
		r.byte()
		r.byte()
	case Tag:
		r.byte()
		r.number()
	default:
		r.fail(fmt.Errorf("an import of the unknown kind %d", i.Kind))
	}
	i.Type = before[:len(before)-len(r.rest)]
	return i
}

// limits reads a size and, where the flags have it, a largest one.
func (r *reader) limits() {
	flags := r.byte()
	r.number64()
	if flags&1 != 0 {
		r.number64()
	}
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}
