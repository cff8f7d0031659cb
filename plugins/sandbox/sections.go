package sandbox

// The sections of a module, by their number in the binary format (WebAssembly core specification 2.0, chapter 5).
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
)

// What a module may have of each thing. They are far above what real guests need, a Go program with all of Kubernetes'
// types included, and keep what the runtime makes of a hostile file in proportion to its size.
const (
	maxTypes     = 100_000
	maxValues    = 1_000 // parameters or results of a function
	maxFunctions = 1_000_000
	maxThings    = 100_000 // imports, exports, globals, data and element segments, each
	maxElements  = 1_000_000
	maxLocals    = 50_000    // of one function
	maxAllLocals = 4_000_000 // of all functions
	maxBlocks    = 10_000    // of one function; the compiler's time grows with their square and worse
	maxTables    = 8
	maxTable     = 1 << 20 // entries; the runtime has no limit of its own, and memory's does not count them
	maxMemories  = 1
)

// passOver walks over a section that is kept as it is, to know that the runtime's decoder can be trusted with it.
func passOver(id byte, in *reader) {
	switch id {
	case sectionType:
		passTypes(in)
	case sectionImport:
		passImports(in)
	case sectionFunction:
		for n := in.count("functions", 1, maxFunctions); n > 0 && !in.broken(); n-- {
			in.uint32()
		}
	case sectionMemory:
		for n := in.count("memories", 2, maxMemories); n > 0 && !in.broken(); n-- {
			in.limits()
		}
	case sectionGlobal:
		for n := in.count("globals", 3, maxThings); n > 0 && !in.broken(); n-- {
			in.valueType()
			in.byte() // whether it is mutable
			in.constant()
		}
	case sectionExport:
		for n := in.count("exports", 3, maxThings); n > 0 && !in.broken(); n-- {
			in.skipName()
			in.byte() // which kind of thing
			in.uint32()
		}
	case sectionStart, sectionDataCount:
		in.uint32()
	case sectionElement:
		passElements(in)
	case sectionData:
		passData(in)
	default:
		in.fail("has a section of the unknown kind %d", id)
	}
}

func passTypes(in *reader) {
	for n := in.count("types", 3, maxTypes); n > 0 && !in.broken(); n-- {
		if form := in.byte(); form != 0x60 {
			in.fail("has a type of the form %#x, only functions are known", form)
		}
		for range 2 { // parameters, results
			for v := in.count("parameters or results", 1, maxValues); v > 0 && !in.broken(); v-- {
				in.valueType()
			}
		}
	}
}

func passImports(in *reader) {
	for n := in.count("imports", 4, maxThings); n > 0 && !in.broken(); n-- {
		in.skipName()
		in.skipName()
		switch kind := in.byte(); kind {
		case 0: // function
			in.uint32()
		case 1: // table
			in.valueType()
			in.limits()
		case 2: // memory
			in.limits()
		case 3: // global
			in.valueType()
			in.byte()
		default:
			in.fail("imports a thing of the unknown kind %d", kind)
		}
	}
}

// passElements knows the eight forms of an element segment, told apart by three bits: passive or declarative, with an
// explicit table or kind, expressions instead of functions.
func passElements(in *reader) {
	var all uint32
	for n := in.count("element segments", 3, maxThings); n > 0 && !in.broken(); n-- {
		form := in.uint32()
		if form > 7 {
			in.fail("has an element segment of the unknown form %d", form)
		}
		passive, explicit, expressions := form&1 != 0, form&2 != 0, form&4 != 0
		if !passive {
			if explicit {
				in.uint32() // which table
			}
			in.constant() // where in it
		}
		if passive || explicit {
			in.byte() // which kind of element
		}
		elements := in.count("elements", 1, maxElements)
		if all += elements; all > maxElements {
			in.fail("has more than %d elements", maxElements)
		}
		for ; elements > 0 && !in.broken(); elements-- {
			if expressions {
				in.constant()
			} else {
				in.uint32()
			}
		}
	}
}

func passData(in *reader) {
	for n := in.count("data segments", 2, maxThings); n > 0 && !in.broken(); n-- {
		switch form := in.uint32(); form {
		case 0: // at a place in memory
			in.constant()
		case 1: // passive
		case 2: // at a place in a given memory
			in.uint32()
			in.constant()
		default:
			in.fail("has a data segment of the unknown form %d", form)
		}
		in.bytes(in.uint32())
	}
}
