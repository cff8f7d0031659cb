package meter

// instruction is one instruction of a function, with what the rewriter needs of its operands.
type instruction struct {
	op byte
	// sub tells the instructions of opExtended and opVector apart.
	sub uint32
	// start and end are where it lies in its function's bytes.
	start, end int
	// index is the function, type, local, global or label it refers to, if it is one of these that does.
	index uint32
	// labels are the targets of br_table, the default last. The next instruction overwrites them.
	labels []uint32
}

// next reads one instruction into i. It knows all of WebAssembly 2.0, as the runtime does, and breaks the reader at anything
// else.
func (i *instruction) next(body *reader) {
	i.start, i.sub, i.labels = body.at, 0, i.labels[:0]
	i.op = body.byte()
	switch op := i.op; {
	case op <= opNop, op == opElse, op == opEnd, op == opReturn, op == opDrop, op == opSelect,
		op >= opI32Eqz && op <= opLastPlain, op == opRefIsNull:
	case op >= opBlock && op <= opIf:
		i.readBlockType(body)
	case op == opBr, op == opBrIf, op == opCall, op >= opLocalGet && op <= opTableSet, op == opMemorySize, op == opMemoryGrow,
		op == opRefFunc:
		i.index = body.uint32()
	case op == opBrTable:
		i.readLabels(body)
	case op == opCallIndirect:
		i.index = body.uint32()
		body.uint32() // which table
	case op == opSelectTyped:
		for n := body.count("types to select", 1, maxValues); n > 0 && !body.broken(); n-- {
			body.valueType()
		}
	case op >= opLoadFirst && op <= opStoreLast:
		passPlace(body)
	case op == opI32Const, op == opI64Const, op == opRefNull:
		body.skipNumber()
	case op == opF32Const:
		body.bytes(4)
	case op == opF64Const:
		body.bytes(8)
	case op == opExtended:
		i.readExtended(body)
	case op == opVector:
		i.readVector(body)
	default:
		body.at = i.start
		body.fail("has the instruction %#x, which this server does not know", op)
	}
	i.end = body.at
}

// noType is the index of a block whose type is no entry of the type section.
const noType = ^uint32(0)

func (i *instruction) readBlockType(body *reader) {
	i.index = noType
	switch n := body.int33(); {
	case n >= 0 && n < int64(noType):
		i.index = uint32(n)
	case n == noResult-0x80, n >= typeV128-0x80 && n < 0, n == typeFuncref-0x80, n == typeExternref-0x80:
	default:
		body.fail("has a block of the unknown type %d", n)
	}
}

func (i *instruction) readLabels(body *reader) {
	for n := body.count("branch targets", 1, maxThings); n > 0 && !body.broken(); n-- {
		i.labels = append(i.labels, body.uint32())
	}
	i.labels = append(i.labels, body.uint32())
}

// passPlace passes over an alignment and an offset.
func passPlace(body *reader) {
	body.uint32()
	body.uint32()
}

// readExtended knows saturating conversions and the bulk operations on memories and tables.
func (i *instruction) readExtended(body *reader) {
	i.sub = body.uint32()
	switch op := i.sub; {
	case op < extMemoryInit: // conversions
	case op == extMemoryFill:
		readMemory(body)
	case op == extMemoryCopy:
		readMemory(body)
		readMemory(body)
	case op == extDataDrop, op == extElemDrop, op >= extTableGrow && op <= extTableFill:
		body.uint32()
	case op == extMemoryInit, op == extTableInit, op == extTableCopy:
		body.uint32()
		body.uint32()
	default:
		body.fail("has the instruction 0xfc %d, which this server does not know", op)
	}
}

// readMemory reads which memory is meant: there is one, and its number is a single zero.
func readMemory(body *reader) {
	if n := body.byte(); n != 0 {
		body.fail("refers to the memory %d, but has at most one", n)
	}
}

// readVector knows the 128 bit instructions.
func (i *instruction) readVector(body *reader) {
	i.sub = body.uint32()
	switch op := i.sub; {
	case op <= 11, op == 92, op == 93: // loads and stores
		passPlace(body)
	case op == vecConst, op == 13: // const, shuffle
		body.bytes(16)
	case op >= 21 && op <= 34: // a lane
		body.byte()
	case op >= 84 && op <= 91: // a lane in memory
		passPlace(body)
		body.byte()
	case op <= 255: // arithmetic
	default:
		body.fail("has the instruction 0xfd %d, which this server does not know", op)
	}
}

// What things weigh. One unit is about what a processor does in a third of a nanosecond when all goes well; what may take long,
// such as a load that misses every cache, weighs more, so that no unit takes more than some 10 ns.
const (
	weightPlain  = 1
	weightMemory = 12 // a load or a store
	weightSlow   = 4  // a division, a square root
	weightVector = 2
	weightTable  = 2 // br_table

	// weightLight is what a call of a function that is not metered weighs at most.
	weightLight = 64
	// weightEntry is the least that a metered function takes on entry, weightEntryMost the most. Its caller need not count it.
	weightEntry     = 8 + creditFirst + creditLast
	weightEntryMost = 1000
	// bytesPerUnit is how much stack a unit pays for on entry.
	bytesPerUnit = 16
	// weightHost is a call of an imported function: the change to Go and back.
	weightHost = 100
	// weightShort is a copy of a few bytes, or filling them, but for its length, shortMost the most bytes that are a few: so many that
	// a loop may leave them to its head to count.
	weightShort = 2 * weightMemory
	shortMost   = 512
	// weightGrow is memory.grow, which may have to copy the memory.
	weightGrow = 5000
)

// weight says what an instruction weighs. Calls and bulk operations are weighed where they are rewritten.
func (i *instruction) weight() int {
	switch op := i.op; {
	case op >= opLoadFirst && op <= opStoreLast, op == opTableGet, op == opTableSet:
		return weightMemory
	case op == opBrTable:
		return weightTable
	case isConstant(op), op == opLocalGet, op == opDrop, op == opEnd, op == opNop, op == opBlock, op == opLoop, op == opElse:
		return 0 // no machine code, or next to none
	case op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82, op == 0x91, op == 0x95, op == 0x9f, op == 0xa3:
		return weightSlow // div and rem of integers; sqrt and div of floats
	case op == opVector && (i.sub <= 11 || i.sub >= 84 && i.sub <= 93):
		return weightMemory
	case op == opVector, op == opExtended:
		return weightVector
	}
	return weightPlain
}

func isConstant(op byte) bool {
	return op >= opI32Const && op <= opF64Const || op == opRefNull || op == opRefFunc
}

// unsigned reads the operand of i32.const, a signed LEB128 number that has been read once, as the 32 bits that it pushes.
func unsigned(operand []byte) uint32 {
	var n uint64
	shift := 0
	for _, b := range operand {
		n |= uint64(b&0x7f) << shift
		shift += 7
	}
	if len(operand) > 0 && operand[len(operand)-1]&0x40 != 0 {
		n |= ^uint64(0) << shift
	}
	return uint32(n)
}
