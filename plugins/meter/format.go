package meter

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

// sectionOrder lists the sections in the order in which a file has them.
func sectionOrder() []byte {
	return []byte{sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport,
		sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData}
}

func sectionName(id byte) string {
	names := [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element",
		"code", "data", "data count"}
	if int(id) >= len(names) {
		return "of an unknown kind"
	}
	return names[id]
}

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
	loopBlocks   = 3         // which rewriting puts around a loop
	maxTables    = 8
	maxTable     = 1 << 20 // entries; the runtime has no limit of its own, and memory's does not count them
	maxMemories  = 1
	maxPassive   = 16 << 20 // bytes of a data segment that code copies, which it does in one go
)

// Value types and other bytes of the format.
const (
	typeI32       = 0x7f
	typeI64       = 0x7e
	typeF32       = 0x7d
	typeF64       = 0x7c
	typeV128      = 0x7b
	typeFuncref   = 0x70
	typeExternref = 0x6f

	formFunction = 0x60
	noResult     = 0x40 // the block type of a block without results
	mutable      = 1

	kindFunction = 0
	kindTable    = 1
	kindMemory   = 2
	kindGlobal   = 3
)

// Opcodes that the rewriter treats on their own or writes.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opLoadFirst    = 0x28
	opStoreLast    = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32Eqz       = 0x45
	opI32LtS       = 0x48
	opI32LtU       = 0x49
	opI32GtU       = 0x4b
	opI64GtU       = 0x56
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32Or        = 0x72
	opI32ShrU      = 0x76
	opI64Add       = 0x7c
	opI64Shl       = 0x86
	opI64ExtendU   = 0xad
	opLastPlain    = 0xc4
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2
	opExtended     = 0xfc
	opVector       = 0xfd

	extMemoryInit = 8
	extDataDrop   = 9
	extMemoryCopy = 10
	extMemoryFill = 11
	extTableInit  = 12
	extElemDrop   = 13
	extTableCopy  = 14
	extTableGrow  = 15
	extTableSize  = 16
	extTableFill  = 17

	vecConst = 12
)
