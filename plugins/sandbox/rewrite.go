package sandbox

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// entryCheck is an empty loop. The runtime looks at the deadline at every loop's head and nowhere else, so one of these at
// the head of each function that calls another is what stops a guest that only recurses. A function that neither loops nor
// calls ends by itself.
var entryCheck = [...]byte{0x03, 0x40, 0x0b} // loop, no result; end

// rewrite checks that a module's numbers are in proportion to its size, which the runtime trusts blindly, and makes the
// module interruptible and its tables bounded. Whether its instructions are valid the compiler says afterwards. Of the
// custom sections only the names of functions stay, for stack traces. The input is left as it is.
func rewrite(wasm []byte) ([]byte, error) {
	if err := checkHeader(wasm); err != nil {
		return nil, err
	}
	in := &reader{data: wasm, at: 8}
	out := bytes.NewBuffer(make([]byte, 0, len(wasm)+len(wasm)/16))
	out.Write(wasm[:8])
	for in.more() {
		start := in.at
		id, body := in.byte(), in.bytes(in.uint32())
		if in.broken() {
			return nil, in.fault.in("the section at byte %d runs past the end", start)
		}
		section, fault := rewriteSection(id, body)
		if fault != nil {
			return nil, fault.in("section %d at byte %d", id, start)
		}
		if section != nil {
			out.WriteByte(id)
			writeUint32(out, uint32(len(section)))
			out.Write(section)
		}
	}
	return out.Bytes(), nil
}

func checkHeader(wasm []byte) error {
	switch {
	case len(wasm) == 0:
		return faultf(Rejected, "is empty")
	case len(wasm) < 8 || !bytes.HasPrefix(wasm, []byte("\x00asm")):
		return faultf(Rejected, "is no WebAssembly module: it does not begin with \\0asm")
	case bytes.Equal(wasm[4:8], []byte{0x0d, 0, 1, 0}):
		return faultf(Rejected, "is a WebAssembly component, only core modules can be run: build it for WASI preview 1")
	case !bytes.Equal(wasm[4:8], []byte{1, 0, 0, 0}):
		return faultf(Rejected, "has the WebAssembly version %d, only 1 is known", binary.LittleEndian.Uint32(wasm[4:8]))
	}
	return nil
}

// rewriteSection returns what becomes of a section; nil when it is dropped.
func rewriteSection(id byte, body []byte) ([]byte, *Fault) {
	in := &reader{data: body}
	out := body
	switch id {
	case sectionCustom:
		return functionNames(in), nil
	case sectionTable:
		out = boundTables(in)
	case sectionCode:
		out = checkEntries(in)
	default:
		passOver(id, in)
	}
	if in.more() {
		in.fail("is damaged: %d bytes are left over", len(in.data)-in.at)
	}
	return out, in.fault
}

// boundTables gives every table a maximum.
func boundTables(in *reader) []byte {
	var out bytes.Buffer
	count := in.count("tables", 3, maxTables)
	writeUint32(&out, count)
	for range count {
		element := in.byte()
		smallest, largest := in.limits()
		if smallest > maxTable {
			in.fail("has a table of %d entries, at most %d are allowed", smallest, maxTable)
		}
		out.Write([]byte{element, 1})
		writeUint32(&out, smallest)
		writeUint32(&out, min(largest, maxTable))
	}
	return out.Bytes()
}

// checkEntries puts entryCheck at the head of every function that needs it.
func checkEntries(in *reader) []byte {
	out := bytes.NewBuffer(make([]byte, 0, len(in.data)+len(in.data)/16))
	count := in.count("functions", 3, maxFunctions)
	writeUint32(out, count)
	locals := uint32(0)
	for i := uint32(0); i < count && !in.broken(); i++ {
		body := &reader{data: in.bytes(in.uint32())}
		if locals += passLocals(body); locals > maxAllLocals {
			in.fail("has more than %d local variables", maxAllLocals)
		}
		head := body.at
		calls := look(body).calls
		if body.broken() && !in.broken() {
			in.fault = body.fault.in("function %d", i)
		}
		writeFunction(out, body.data[:head], body.data[head:], calls)
	}
	return out.Bytes()
}

// writeFunction writes a function anew from its locals and its instructions.
func writeFunction(out *bytes.Buffer, locals, instructions []byte, checked bool) {
	check := entryCheck[:]
	if !checked {
		check = nil
	}
	writeUint32(out, uint32(len(locals)+len(check)+len(instructions)))
	out.Write(locals)
	out.Write(check)
	out.Write(instructions)
}

// passLocals reads a function's declarations of local variables and returns how many there are.
func passLocals(body *reader) uint32 {
	all := uint32(0)
	for groups := body.count("groups of local variables", 2, maxLocals); groups > 0 && !body.broken(); groups-- {
		n := body.uint32()
		body.valueType()
		if n > maxLocals || all+n > maxLocals {
			body.fail("has more than %d local variables", maxLocals)
			return 0
		}
		all += n
	}
	return all
}

// functionNames keeps the names of functions from the section "name" and drops every other custom section, and that one
// too when it is damaged: it is no part of what the module does.
func functionNames(in *reader) []byte {
	const subsectionFunctions = 1
	if string(in.bytes(in.uint32())) != "name" {
		return nil
	}
	for in.more() {
		id, names := in.byte(), in.bytes(in.uint32())
		if id != subsectionFunctions || !soundNames(&reader{data: names}) {
			continue
		}
		var out bytes.Buffer
		out.WriteString("\x04name")
		out.WriteByte(subsectionFunctions)
		writeUint32(&out, uint32(len(names)))
		out.Write(names)
		return out.Bytes()
	}
	return nil
}

func soundNames(in *reader) bool {
	for n := in.count("names", 2, maxFunctions); n > 0 && !in.broken(); n-- {
		in.uint32()
		if !utf8.Valid(in.bytes(in.uint32())) {
			return false
		}
	}
	return !in.broken() && !in.more()
}
