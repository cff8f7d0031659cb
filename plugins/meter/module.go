package meter

import "slices"

// signature is a function type as the binary format has it, each half a vector of value types.
type signature struct{ params, results []byte }

// module is what the rewriter knows of a module while it walks over its sections.
type module struct {
	types []signature
	// functions holds each function's type, the imported ones first.
	functions []uint32
	imported  int // of functions
	globals   int
	memory    bool
	// What the sections that grow hold: imports, functions and globals of the module's own.
	imports, own, defined vector

	// wraps maps the results of a function with several of them to the type of a block that leaves these.
	wraps map[string]uint32
	// added are the types that are put after the module's own.
	added []signature
	// helpers are the functions that are put after the module's own.
	helpers helpers
	// shapes is what the survey found out of each function of the module's own.
	shapes []shape
}

// vector is what a section holds, without its count.
type vector struct {
	count   int
	entries []byte
}

// with returns the section's bytes with n more entries.
func (v vector) with(n int, entries []byte) []byte {
	return append(append(appendUint(nil, v.count+n), v.entries...), entries...)
}

// typeOf returns the signature of a function, which may be one that index says is there but the type section lacks.
func (m *module) typeOf(function uint32) signature {
	if t := m.functions[function]; int(t) < len(m.types) {
		return m.types[t]
	}
	return signature{}
}

// addType puts a type after the module's own and returns its index.
func (m *module) addType(s signature) uint32 {
	m.added = append(m.added, s)
	return uint32(len(m.types) + len(m.added) - 1)
}

// wrapType returns the block type of a block with the results of a function.
func (m *module) wrapType(results []byte) []byte {
	switch len(results) {
	case 0:
		return []byte{noResult}
	case 1:
		return results
	}
	index, known := m.wraps[string(results)]
	if !known {
		index = m.addType(signature{results: results})
		m.wraps[string(results)] = index
	}
	return appendInt(nil, int64(index))
}

// newIndex is a function's index after the host's function has been put after the imported ones.
func (m *module) newIndex(function uint32) uint32 {
	if int(function) < m.imported {
		return function
	}
	return function + 1
}

// The counters are globals put after the module's own.
func (m *module) fuel() uint32  { return uint32(m.globals) }
func (m *module) stack() uint32 { return uint32(m.globals) + 1 }

// readTypes reads the type section.
func (m *module) readTypes(in *reader) {
	for n := in.count("types", 3, maxTypes); n > 0 && !in.broken(); n-- {
		if form := in.byte(); form != formFunction {
			in.fail("has a type of the form %#x, only functions are known", form)
		}
		m.types = append(m.types, signature{params: readValueTypes(in), results: readValueTypes(in)})
	}
}

func readValueTypes(in *reader) []byte {
	n := in.count("parameters or results", 1, maxValues)
	start := in.at
	for ; n > 0 && !in.broken(); n-- {
		in.valueType()
	}
	return in.data[start:in.at]
}

// writeTypes writes the type section with what was added.
func (m *module) writeTypes() []byte {
	all := slices.Concat(m.types, m.added)
	out := appendUint(nil, len(all))
	for _, t := range all {
		out = append(out, formFunction)
		out = appendBytes(out, t.params)
		out = appendBytes(out, t.results)
	}
	return out
}

// readImports counts what is imported.
func (m *module) readImports(in *reader) {
	count := in.count("imports", 4, maxThings)
	start := in.at
	for n := count; n > 0 && !in.broken(); n-- {
		if from := in.name(); string(from) == ImportModule {
			in.fail("imports from %s, which is the server's own", ImportModule)
		}
		in.name()
		switch kind := in.byte(); kind {
		case kindFunction:
			m.functions = append(m.functions, in.index("type", len(m.types)))
			m.imported++
		case kindTable:
			in.valueType()
			in.limits()
		case kindMemory:
			in.limits()
			m.memory = true
		case kindGlobal:
			in.valueType()
			in.byte() // whether it is mutable
			m.globals++
		default:
			in.fail("imports a thing of the unknown kind %d", kind)
		}
	}
	m.imports = vector{count: int(count), entries: in.data[start:in.at]}
}

// readFunctions reads the types of the module's own functions.
func (m *module) readFunctions(in *reader) {
	count := in.count("functions", 1, maxFunctions)
	start := in.at
	for n := count; n > 0 && !in.broken(); n-- {
		m.functions = append(m.functions, in.index("type", len(m.types)))
	}
	m.own = vector{count: int(count), entries: in.data[start:in.at]}
}

// readTables gives every table a maximum.
func readTables(in *reader) []byte {
	count := in.count("tables", 3, maxTables)
	out := appendUint(nil, count)
	for range count {
		element := in.valueType()
		smallest, largest := in.limits()
		if smallest > maxTable {
			in.fail("has a table of %d entries, at most %d are allowed", smallest, maxTable)
		}
		out = append(out, element, 1)
		out = appendUint(out, smallest)
		out = appendUint(out, min(largest, maxTable))
	}
	return out
}

func (m *module) readMemories(in *reader) {
	for n := in.count("memories", 2, maxMemories); n > 0 && !in.broken(); n-- {
		in.limits()
		m.memory = true
	}
}

// readGlobals returns the globals' section with new indices.
func (m *module) readGlobals(in *reader) []byte {
	count := in.count("globals", 3, maxThings)
	var entries []byte
	for n := count; n > 0 && !in.broken(); n-- {
		entries = append(entries, in.valueType(), in.byte())
		entries = m.constant(in, entries)
		m.globals++
	}
	m.defined = vector{count: int(count), entries: entries}
	return m.defined.with(0, nil)
}

// readExports returns the export section with new indices. The counters cannot be reached: an export's index is checked
// against what the module itself has.
func (m *module) readExports(in *reader) []byte {
	count := in.count("exports", 3, maxThings)
	out := appendUint(nil, count)
	for n := count; n > 0 && !in.broken(); n-- {
		out = appendBytes(out, in.name())
		kind := in.byte()
		out = append(out, kind)
		switch kind {
		case kindFunction:
			out = appendUint(out, m.newIndex(in.index("function", len(m.functions))))
		case kindGlobal:
			out = appendUint(out, in.index("global", m.globals))
		case kindTable, kindMemory:
			out = appendUint(out, in.uint32())
		default:
			in.fail("exports a thing of the unknown kind %d", kind)
		}
	}
	return out
}

// readElements returns the element section with new indices. It knows the eight forms of a segment, told apart by three
// bits: passive or declarative, with an explicit table or kind, expressions instead of functions.
func (m *module) readElements(in *reader) []byte {
	var all uint32
	count := in.count("element segments", 3, maxThings)
	out := appendUint(nil, count)
	for n := count; n > 0 && !in.broken(); n-- {
		form := in.uint32()
		if form > 7 {
			in.fail("has an element segment of the unknown form %d", form)
		}
		out = appendUint(out, form)
		passive, explicit, expressions := form&1 != 0, form&2 != 0, form&4 != 0
		if !passive {
			if explicit {
				out = appendUint(out, in.uint32()) // which table
			}
			out = m.constant(in, out) // where in it
		}
		if passive || explicit {
			out = append(out, in.byte()) // which kind of element
		}
		elements := in.count("elements", 1, maxElements)
		if all += elements; all > maxElements {
			in.fail("has more than %d elements", maxElements)
		}
		out = appendUint(out, elements)
		for ; elements > 0 && !in.broken(); elements-- {
			if expressions {
				out = m.constant(in, out)
			} else {
				out = appendUint(out, m.newIndex(in.index("function", len(m.functions))))
			}
		}
	}
	return out
}

// readData passes over the data section.
func (m *module) readData(in *reader) {
	for n := in.count("data segments", 2, maxThings); n > 0 && !in.broken(); n-- {
		form := in.uint32()
		switch form {
		case 0: // at a place in memory
			m.constant(in, nil)
		case 1: // passive
		case 2: // at a place in a given memory
			in.uint32()
			m.constant(in, nil)
		default:
			in.fail("has a data segment of the unknown form %d", form)
		}
		if size := len(in.name()); form == 1 && size > maxPassive {
			in.fail("has a passive data segment of %d bytes, at most %d are allowed", size, maxPassive)
		}
	}
}

// constant copies a constant expression to out, with new indices.
func (m *module) constant(in *reader, out []byte) []byte {
	var i instruction
	for !in.broken() {
		i.next(in)
		switch {
		case i.op == opEnd:
			return append(out, opEnd)
		case i.op == opGlobalGet && uint64(i.index) >= uint64(m.globals):
			in.fail("refers to the global %d in a constant expression, but has %d there", i.index, m.globals)
		case i.op == opRefFunc && uint64(i.index) >= uint64(len(m.functions)):
			in.fail("refers to the function %d, but has %d", i.index, len(m.functions))
		case i.op == opRefFunc:
			out = append(out, opRefFunc)
			out = appendUint(out, m.newIndex(i.index))
			continue
		case isConstant(i.op), i.op == opGlobalGet, i.op == opVector && i.sub == vecConst:
		default:
			in.fail("has the instruction %#x in a constant expression, which this server does not know", i.op)
		}
		if !in.broken() {
			out = append(out, in.data[i.start:i.end]...)
		}
	}
	return out
}

func appendBytes(to, b []byte) []byte { return append(appendUint(to, len(b)), b...) }
