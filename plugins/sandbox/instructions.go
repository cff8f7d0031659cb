package sandbox

// survey is what the rewriter wants to know of a function's instructions.
type survey struct {
	// calls is set when the function calls others, directly or not.
	calls bool
	// blocks counts blocks, loops and ifs.
	blocks uint32
}

// Opcodes with a meaning for the survey or with operands out of line (WebAssembly core specification 2.0, section 5.4).
const (
	opBlock        = 0x02
	opIf           = 0x04
	opEnd          = 0x0b
	opBrTable      = 0x0e
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelectTyped  = 0x1c
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opRefNull      = 0xd0
	opExtended     = 0xfc
	opVector       = 0xfd
)

// look walks over a function's instructions up to its end. It knows all of WebAssembly 2.0, as the runtime does, and breaks
// the reader at anything else.
func look(body *reader) survey {
	var s survey
	for depth := 1; depth > 0 && !body.broken(); {
		op := body.byte()
		switch {
		case op >= opBlock && op <= opIf:
			if s.blocks++; s.blocks > maxBlocks {
				body.fail("has more than %d blocks", maxBlocks)
			}
			depth++
			body.skipNumber()
		case op == opEnd:
			depth--
		case op == opCall:
			s.calls = true
			body.uint32()
		case op == opCallIndirect:
			s.calls = true
			body.uint32()
			body.uint32()
		default:
			passOperands(op, body)
		}
	}
	if body.more() {
		body.fail("has instructions after its end")
	}
	return s
}

// passOperands passes over the operands of an instruction that is neither a block nor a call.
func passOperands(op byte, body *reader) {
	switch {
	case op == 0x00, op == 0x01, op == 0x05, op == 0x0f, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
		// unreachable, nop, else, return, drop, select, all arithmetic, ref.is_null: none
	case op == 0x0c, op == 0x0d, op >= 0x20 && op <= 0x26, op == 0x3f, op == 0x40, op == 0xd2:
		body.uint32() // br, br_if, locals, globals, table.get and .set, memory.size and .grow, ref.func: an index
	case op >= 0x28 && op <= 0x3e:
		passPlace(body) // loads and stores
	case op == opBrTable:
		for n := body.count("branch targets", 1, maxThings); n > 0 && !body.broken(); n-- {
			body.uint32()
		}
		body.uint32()
	case op == opSelectTyped:
		for n := body.count("types to select", 1, maxValues); n > 0 && !body.broken(); n-- {
			body.valueType()
		}
	case op == opI32Const, op == opI64Const, op == opRefNull:
		body.skipNumber()
	case op == opF32Const:
		body.bytes(4)
	case op == opF64Const:
		body.bytes(8)
	case op == opExtended:
		passExtended(body)
	case op == opVector:
		passVector(body)
	default:
		body.fail("has the instruction %#x, which this server does not know", op)
	}
}

// passPlace passes over an alignment and an offset.
func passPlace(body *reader) {
	body.uint32()
	body.uint32()
}

// passExtended knows saturating conversions and the bulk operations on memories and tables.
func passExtended(body *reader) {
	switch op := body.uint32(); {
	case op <= 7: // conversions
	case op == 9, op == 11, op == 13, op >= 15 && op <= 17: // one index
		body.uint32()
	case op == 8, op == 10, op == 12, op == 14: // two
		body.uint32()
		body.uint32()
	default:
		body.fail("has the instruction 0xfc %d, which this server does not know", op)
	}
}

// passVector knows the 128 bit instructions.
func passVector(body *reader) {
	switch op := body.uint32(); {
	case op <= 11, op == 92, op == 93: // loads and stores
		passPlace(body)
	case op == 12, op == 13: // const, shuffle
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
