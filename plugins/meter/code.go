package meter

// code is machine-independent code under construction.
type code []byte

// with appends an instruction that has an index.
func (c code) with(op byte, index uint32) code { return appendUint(append(c, op), index) }

// number appends i32.const.
func (c code) number(n int) code { return appendInt(append(c, opI32Const), int64(n)) }

// take appends: global -= n.
func (c code) take(global uint32, n int) code {
	op := byte(opI32Sub)
	if n < 0 {
		op, n = opI32Add, -n
	}
	return append(c.with(opGlobalGet, global).number(n), op).with(opGlobalSet, global)
}

// ifNegative appends: if the global is negative, op.
func (c code) ifNegative(global uint32, op, operand byte) code {
	return append(c.with(opGlobalGet, global).number(0), opI32LtS, op, operand)
}

// pauseIfNegative appends: if the global is negative, call pause.
func (c code) pauseIfNegative(global, pause uint32) code {
	return append(c.ifNegative(global, opIf, noResult).with(opCall, pause), opEnd)
}

// helpers are the indices of the functions put after a module's own, as the rewritten module counts.
type helpers struct {
	// refill is the host's: (stack) -> (fuel).
	refill uint32
	// pause asks the host for fuel: () -> ().
	pause uint32
	// weigh counts what is proportional to a length: (length) -> (length).
	weigh uint32
	// fill and copy are memory.fill and memory.copy in pieces.
	fill, copy uint32
}

const (
	// piece is how many bytes are filled or copied at once.
	piece = 1 << 20
	// pieceShift is how many bytes of them weigh one unit, as a power of two. Memory that is touched for the first time takes
	// the system ten times as long as other memory.
	pieceShift = 4
	pageShift  = 16
)

// addHelpers decides on the helpers' indices and returns their types.
func (m *module) addHelpers() (refill uint32, own []uint32) {
	i32 := func(n int) []byte { return []byte{typeI32, typeI32, typeI32}[:n] }
	next := uint32(len(m.functions)) + 1
	m.helpers = helpers{refill: uint32(m.imported), pause: next, weigh: next + 1, fill: next + 2, copy: next + 3}
	through := m.addType(signature{params: i32(1), results: i32(1)})
	three := m.addType(signature{params: i32(3)})
	return through, []uint32{m.addType(signature{}), through, three, three}
}

// appendHelpers appends the helpers' code. Without a memory there is no code that fills or copies it, and none is valid.
func (m *module) appendHelpers(out []byte) []byte {
	fill, copying := code{0, opUnreachable, opEnd}, code{0, opUnreachable, opEnd}
	if m.memory {
		fill, copying = m.fillCode(), m.copyCode()
	}
	for _, helper := range []code{m.pauseCode(), m.weighCode(), fill, copying} {
		out = appendBytes(out, helper)
	}
	return out
}

func (m *module) pauseCode() code {
	c := code{0}.with(opGlobalGet, m.stack()).with(opCall, m.helpers.refill).with(opGlobalSet, m.fuel())
	return append(c, opEnd)
}

// weighCode is: fuel -= length >> pieceShift; pause if there is none; length.
func (m *module) weighCode() code {
	c := m.takeLength(code{0}, 0)
	return append(c.pauseIfNegative(m.fuel(), m.helpers.pause).with(opLocalGet, 0), opEnd)
}

// takeLength appends: fuel -= the parameter >> pieceShift.
func (m *module) takeLength(c code, param uint32) code {
	c = c.with(opGlobalGet, m.fuel()).with(opLocalGet, param).number(pieceShift)
	return append(c, opI32ShrU, opI32Sub).with(opGlobalSet, m.fuel())
}

// The parameters of fill and copy.
const (
	paramTo     = 0
	paramFrom   = 1 // the value, for fill
	paramLength = 2
)

// fillCode does full pieces first, when all of the span lies in memory, and the rest in the end. A span that does not is left
// to memory.fill whole, which then traps and fills nothing.
func (m *module) fillCode() code {
	c := code{0}.ifShort(code.memoryFill).ifLong(opBlock).leaveUnlessInside(paramTo)
	c = append(c, opLoop, noResult)
	c = c.with(opLocalGet, paramTo).with(opLocalGet, paramFrom).number(piece).memoryFill()
	c = c.advance(paramTo, opI32Add).advance(paramLength, opI32Sub)
	c = m.nextPiece(c)
	c = append(c, opEnd, opEnd)
	c = m.takeLength(c, paramLength).with(opLocalGet, paramTo).with(opLocalGet, paramFrom).with(opLocalGet, paramLength)
	return append(c.memoryFill().pauseIfNegative(m.fuel(), m.helpers.pause), opEnd)
}

// copyCode is like fillCode. Pieces are taken from the end that is safe to begin with when the spans overlap.
func (m *module) copyCode() code {
	c := code{0}.ifShort(code.memoryCopy).ifLong(opBlock).leaveUnlessInside(paramTo).leaveUnlessInside(paramFrom)
	// When it begins to write within what it reads, it must begin at the end.
	c = append(c.with(opLocalGet, paramTo).with(opLocalGet, paramFrom), opI32Sub)
	c = append(c.with(opLocalGet, paramLength), opI32LtU, opIf, noResult)
	c = append(c, opLoop, noResult).advance(paramLength, opI32Sub)
	c = append(c.with(opLocalGet, paramTo).with(opLocalGet, paramLength), opI32Add)
	c = append(c.with(opLocalGet, paramFrom).with(opLocalGet, paramLength), opI32Add)
	c = m.nextPiece(c.number(piece).memoryCopy())
	c = append(c, opEnd, opElse, opLoop, noResult)
	c = c.with(opLocalGet, paramTo).with(opLocalGet, paramFrom).number(piece).memoryCopy()
	c = c.advance(paramTo, opI32Add).advance(paramFrom, opI32Add).advance(paramLength, opI32Sub)
	c = append(m.nextPiece(c), opEnd, opEnd, opEnd)
	c = m.takeLength(c, paramLength).with(opLocalGet, paramTo).with(opLocalGet, paramFrom).with(opLocalGet, paramLength)
	return append(c.memoryCopy().pauseIfNegative(m.fuel(), m.helpers.pause), opEnd)
}

// ifShort does an operation on few bytes, which the caller has counted already, and returns.
func (c code) ifShort(operation func(code) code) code {
	c = append(c.with(opLocalGet, paramLength).number(shortMost+1), opI32LtU, opIf, noResult)
	c = operation(c.with(opLocalGet, paramTo).with(opLocalGet, paramFrom).with(opLocalGet, paramLength))
	return append(c, opReturn, opEnd)
}

// ifLong opens a block that is left at once when the length is no more than one piece.
func (c code) ifLong(block byte) code {
	c = append(c, block, noResult).with(opLocalGet, paramLength).number(piece + 1)
	return append(c, opI32LtU, opBrIf, 0)
}

// leaveUnlessInside leaves the block unless the span that begins at a parameter lies within memory.
func (c code) leaveUnlessInside(param uint32) code {
	c = append(c.with(opLocalGet, param), opI64ExtendU)
	c = append(c.with(opLocalGet, paramLength), opI64ExtendU, opI64Add)
	c = append(c, opMemorySize, 0, opI64ExtendU, opI64Const, pageShift, opI64Shl)
	return append(c, opI64GtU, opBrIf, 0)
}

// advance changes a parameter by a piece.
func (c code) advance(param uint32, op byte) code {
	return append(c.with(opLocalGet, param).number(piece), op).with(opLocalSet, param)
}

// nextPiece counts a piece and turns the loop while more than one is left.
func (m *module) nextPiece(c code) code {
	c = append(c.number(piece).with(opCall, m.helpers.weigh), opDrop)
	c = c.with(opLocalGet, paramLength).number(piece)
	return append(c, opI32GtU, opBrIf, 0)
}

func (c code) memoryFill() code { return append(c, opExtended, extMemoryFill, 0) }
func (c code) memoryCopy() code { return append(c, opExtended, extMemoryCopy, 0, 0) }
