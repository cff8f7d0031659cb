package meter

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// Version names what Rewrite makes of a module. It changes with every change of that, and belongs into the key of whatever
// keeps compiled code.
const Version = "2"

// The function that a rewritten module imports from the host: (stack i32) -> (fuel i32). Package meter's Provide provides it.
const (
	ImportModule = "gatehouse:meter"
	ImportName   = "refill"
)

// Stack is how much stack the nested calls of a guest may take, in bytes by the rewriter's estimate.
const Stack = 1 << 20

// Rewrite returns the module with its guests made interruptible, and every table given a maximum. Of the custom sections only
// the names of functions stay, for stack traces. The input is left as it is, and the result shares nothing with it. The error
// is an *Error. What it costs in time and memory is in proportion to the input's size.
func Rewrite(wasm []byte) ([]byte, error) {
	if err := checkHeader(wasm); err != nil {
		return nil, err
	}
	m := &module{wraps: map[string]uint32{}}
	sections, err := split(wasm)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(wasm)*3/2), wasm[:8]...)
	bodies, err := m.read(sections)
	if err != nil {
		return nil, err
	}
	for _, id := range append(sectionOrder(), sectionCustom) {
		if body := bodies[id]; body != nil {
			out = appendBytes(append(out, id), body)
		}
	}
	return out, nil
}

func checkHeader(wasm []byte) error {
	fail := func(r reader, format string, args ...any) error {
		r.fail(format, args...)
		return r.err
	}
	switch {
	case len(wasm) == 0:
		return fail(reader{}, "is empty")
	case len(wasm) < 8 || !bytes.HasPrefix(wasm, []byte("\x00asm")):
		return fail(reader{}, "is no WebAssembly module: it does not begin with \\0asm")
	case bytes.Equal(wasm[4:8], []byte{0x0d, 0, 1, 0}):
		return fail(reader{at: 4}, "is a WebAssembly component, only core modules can be run: build it for WASI preview 1")
	case !bytes.Equal(wasm[4:8], []byte{1, 0, 0, 0}):
		return fail(reader{at: 4}, "has the WebAssembly version %d, only 1 is known", binary.LittleEndian.Uint32(wasm[4:8]))
	}
	return nil
}

// split finds the sections, which must come in order and once. Of the custom ones it keeps the function names.
func split(wasm []byte) (map[byte]*reader, error) {
	sections := map[byte]*reader{}
	order, last := sectionOrder(), -1
	in := &reader{data: wasm, at: 8}
	for in.more() {
		start := in.at
		id := in.byte()
		body := in.sub(in.uint32())
		if in.broken() {
			in.err.Cause, in.err.Offset = "is truncated or damaged: a section runs past the end", start
			break
		}
		if id == sectionCustom {
			name := body.name()
			if body.broken() || !utf8.Valid(name) {
				in.at = start
				in.fail("is damaged: a custom section has no proper name")
			}
			if string(name) == "name" && sections[id] == nil {
				sections[id] = body
			}
			continue
		}
		at := bytes.IndexByte(order, id)
		switch {
		case at < 0:
			in.at = start
			in.fail("has a section of the unknown kind %d", id)
		case at <= last:
			in.at = start
			in.fail("has its section %s twice or out of order", sectionName(id))
		}
		last = at
		sections[id] = body
	}
	if in.broken() {
		return nil, in.err
	}
	return sections, nil
}

// read reads all sections and returns what becomes of them.
func (m *module) read(sections map[byte]*reader) (map[byte][]byte, error) {
	bodies := map[byte][]byte{}
	for _, id := range sectionOrder() {
		in := sections[id]
		if in == nil {
			continue
		}
		bodies[id] = m.readSection(id, in)
		if in.end(); in.broken() {
			in.err.Section = sectionName(id)
			return nil, in.err
		}
	}
	if names := sections[sectionCustom]; names != nil {
		bodies[sectionCustom] = m.functionNames(names)
	}
	if own := len(m.functions) - m.imported; own != len(m.shapes) {
		return nil, &Error{Cause: "declares functions, but has no code", Section: sectionName(sectionFunction), Function: -1}
	}
	if len(m.shapes) > 0 {
		m.meter(sections, bodies)
	}
	return bodies, nil
}

// readSection reads a section, in the order of the file, and returns what becomes of it but for metering.
func (m *module) readSection(id byte, in *reader) []byte {
	switch id {
	case sectionType:
		m.readTypes(in)
	case sectionImport:
		m.readImports(in)
	case sectionFunction:
		m.readFunctions(in)
	case sectionTable:
		return readTables(in)
	case sectionMemory:
		m.readMemories(in)
	case sectionGlobal:
		return m.readGlobals(in)
	case sectionExport:
		return m.readExports(in)
	case sectionStart:
		return appendUint(nil, m.newIndex(in.index("function", len(m.functions))))
	case sectionElement:
		return m.readElements(in)
	case sectionDataCount:
		in.uint32()
	case sectionCode:
		m.survey(in)
	case sectionData:
		m.readData(in)
	}
	return in.data
}

// meter adds what metering takes to a module that has functions of its own.
func (m *module) meter(sections map[byte]*reader, bodies map[byte][]byte) {
	refill, helpers := m.addHelpers()
	host := appendBytes(appendBytes(nil, []byte(ImportModule)), []byte(ImportName))
	bodies[sectionImport] = m.imports.with(1, appendUint(append(host, kindFunction), refill))
	var types []byte
	for _, t := range helpers {
		types = appendUint(types, t)
	}
	bodies[sectionFunction] = m.own.with(len(helpers), types)
	bodies[sectionGlobal] = m.defined.with(2, counters())
	bodies[sectionCode] = m.rewriteAll(sections[sectionCode], len(helpers))
	bodies[sectionType] = m.writeTypes() // last: functions with several results need types of their own
}

// counters are the globals for fuel, of which there is none at first, and for the stack.
func counters() []byte {
	fuel := append(code{typeI32, mutable}.number(0), opEnd)
	return append(append(fuel, typeI32, mutable).number(Stack), opEnd)
}

// rewriteAll writes the code section. The survey has found it sound.
func (m *module) rewriteAll(section *reader, helpers int) []byte {
	in := &reader{data: section.data}
	in.uint32() // how many there are
	out := appendUint(make([]byte, 0, len(in.data)*3/2), len(m.shapes)+helpers)
	for i, s := range m.shapes {
		out = m.rewrite(out, in.sub(in.uint32()), m.imported+i, s)
	}
	return m.appendHelpers(out)
}

// functionNames keeps the names of functions, with new indices, from the section "name". It drops all else in it, and that
// too when it is damaged: it is no part of what the module does.
func (m *module) functionNames(in *reader) []byte {
	const subsectionFunctions = 1
	for in.more() {
		id, names := in.byte(), in.sub(in.uint32())
		if id != subsectionFunctions || names.broken() {
			continue
		}
		renumbered := m.renumberNames(names)
		if names.broken() {
			return nil
		}
		return appendBytes(append(appendBytes(nil, []byte("name")), subsectionFunctions), renumbered)
	}
	return nil
}

func (m *module) renumberNames(in *reader) []byte {
	count := in.count("names", 2, maxFunctions)
	out := appendUint(make([]byte, 0, len(in.data)+len(in.data)/8), count)
	for ; count > 0 && !in.broken(); count-- {
		index := in.index("function", len(m.functions))
		name := in.name()
		if !utf8.Valid(name) {
			in.fail("has a name that is no UTF-8")
		}
		out = appendBytes(appendUint(out, m.newIndex(index)), name)
	}
	in.end()
	return out
}
