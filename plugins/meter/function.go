package meter

// When weight that has gathered is taken off the fuel.
const (
	// gatherCall is how much may be left uncounted when a metered function is called. The callee looks at the fuel.
	gatherCall = 64
	// gatherMost is how much a function may do before it looks at the fuel itself, on a way without loops.
	gatherMost = 4096
	// credit is the part of weightEntry that counts for what the function does afterwards.
	credit = weightEntry - 8
)

// rewriter writes one function anew. It walks once over the instructions and knows at each the most that may have been done
// since fuel was taken last, on whichever way one gets there.
type rewriter struct {
	m    *module
	body *reader
	out  code
	// copied is up to where the body has been written to out.
	copied int
	frames []frame
	// gathered is the weight of what has been done and not yet been taken off the fuel. It is negative while there is credit.
	gathered int
	// dead is set where no way leads.
	dead bool
	// wrapped is set when the body is in a block of its own, after which the function gives its stack back.
	wrapped bool
	// stack is what the function takes of the stack, when wrapped.
	stack int
}

// frame is a block, a loop, an if or the function itself.
type frame struct {
	op byte
	// reached is set when a branch leads to the frame's end, or an if may be passed by; gathered is the most that it brings.
	reached  bool
	gathered int
	// before is what had gathered ahead of an if, dead whether any way leads into the frame.
	before int
	dead   bool
}

// rewrite appends a function, its size first, to out.
func (m *module) rewrite(out []byte, body *reader, function int, s shape) []byte {
	if s.light() {
		body.at = s.locals
		return m.renumber(out, body)
	}
	w := &rewriter{m: m, body: body, wrapped: s.calls, stack: s.frame, frames: make([]frame, 1, 16), gathered: -credit}
	w.out = append(make(code, 0, len(body.data)*3/2+64), body.data[:s.locals]...)
	body.at, w.copied = s.locals, s.locals
	w.enter(m.typeOf(uint32(function)).results)
	var i instruction
	for len(w.frames) > 0 {
		i.next(body)
		w.instruction(&i)
	}
	w.leave()
	return appendBytes(out, w.out)
}

// renumber appends a light function: it refers to functions only by ref.func, if at all.
func (m *module) renumber(out []byte, body *reader) []byte {
	w := rewriter{m: m, body: body, out: make(code, 0, len(body.data)+8)}
	var i instruction
	for body.more() {
		if i.next(body); i.op == opRefFunc {
			w.replace(&i)
			w.out = w.out.with(opRefFunc, m.newIndex(i.index))
		}
	}
	return appendBytes(out, append(w.out, body.data[w.copied:]...))
}

// enter takes the entry's fuel and the frame's stack, and looks at both at once.
func (w *rewriter) enter(results []byte) {
	fuel, stack := w.m.fuel(), w.m.stack()
	w.out = w.out.take(fuel, weightEntry)
	w.out = w.out.with(opGlobalGet, fuel)
	if w.wrapped {
		w.out = w.out.take(stack, w.stack)
		w.out = append(w.out.with(opGlobalGet, stack), opI32Or)
	}
	w.out = w.out.pauseIfNegative(w.m.helpers.pause)
	if w.wrapped {
		w.out = append(w.out, opBlock)
		w.out = append(w.out, w.m.wrapType(results)...)
	}
}

// leave counts what is left and gives the stack back; the results lie on the operand stack already.
func (w *rewriter) leave() {
	w.flush() // the block's end, or nothing
	if w.wrapped {
		w.settle()
		w.out = w.out.take(w.m.stack(), -w.stack)
		w.out = append(w.out, opEnd)
	}
}

// instruction writes one instruction and what must come before and after it.
func (w *rewriter) instruction(i *instruction) {
	if !w.control(i) {
		w.plain(i)
	}
	if !w.dead && w.gathered > gatherMost && len(w.frames) > 0 {
		w.flush()
		w.settle()
	}
}

// control knows what makes ways part and meet. It reports false for all other instructions.
func (w *rewriter) control(i *instruction) bool {
	if !w.dead {
		w.gathered += i.weight()
	}
	switch i.op {
	case opBlock, opIf:
		w.frames = append(w.frames, frame{op: i.op, before: w.gathered, dead: w.dead})
	case opLoop:
		w.loop(i)
	case opElse:
		f := &w.frames[len(w.frames)-1]
		w.reach(f)
		f.op = opElse
		w.gathered, w.dead = f.before, f.dead
	case opEnd:
		w.end(i)
	case opBr, opBrIf:
		w.branch(i, i.index)
		w.dead = w.dead || i.op == opBr
	case opBrTable:
		w.branch(i, i.labels...)
		w.dead = true
	case opReturn:
		w.branch(i, uint32(len(w.frames)-1))
		if w.wrapped {
			w.replace(i)
			w.out = w.out.with(opBr, uint32(len(w.frames)-1))
		}
		w.dead = true
	case opUnreachable:
		w.dead = true
	default:
		return false
	}
	return true
}

// loop looks at the fuel at each turn.
func (w *rewriter) loop(i *instruction) {
	w.frames = append(w.frames, frame{op: opLoop, dead: w.dead})
	if w.dead {
		return
	}
	w.takeDown(i, weightLoop)
	w.flush()
	w.out = w.out.take(w.m.fuel(), weightLoop).with(opGlobalGet, w.m.fuel()).pauseIfNegative(w.m.helpers.pause)
	w.gathered = 0
}

// end closes a frame: what follows it is reached through it or by branches to it, but for a loop, whose label is its head.
func (w *rewriter) end(i *instruction) {
	f := w.frames[len(w.frames)-1]
	if len(w.frames) == 1 && !w.wrapped {
		w.flushBefore(i)
		if !w.dead { // branches to the function have settled before
			w.settle()
		}
	}
	w.reach(&f)
	if f.op == opIf && !f.dead { // without an else the condition may lead past it
		f.reachedWith(f.before)
	}
	w.gathered, w.dead = f.gathered, !f.reached
	w.frames = w.frames[:len(w.frames)-1]
}

// reach notes that the way one is on leads to a frame's end.
func (w *rewriter) reach(f *frame) {
	if !w.dead {
		f.reachedWith(w.gathered)
	}
}

func (f *frame) reachedWith(gathered int) {
	if !f.reached || gathered > f.gathered {
		f.reached, f.gathered = true, gathered
	}
}

// branch counts what has gathered before a branch, as far as what it leads to does not.
func (w *rewriter) branch(i *instruction, labels ...uint32) {
	if w.dead {
		return
	}
	for _, label := range labels {
		switch f := &w.frames[len(w.frames)-1-int(label)]; {
		case f.op == opLoop:
			w.takeDown(i, weightLoop)
		case int(label) == len(w.frames)-1 && !w.wrapped:
			w.takeDown(i, 0)
		}
	}
	for _, label := range labels {
		if f := &w.frames[len(w.frames)-1-int(label)]; f.op != opLoop {
			w.reach(f)
		}
	}
}

// plain writes an instruction that control does not know.
func (w *rewriter) plain(i *instruction) {
	switch i.op {
	case opCall:
		w.call(i)
	case opCallIndirect:
		w.gathered += weightLight // it may be a light function that is called
		w.takeDown(i, gatherCall+weightLight)
	case opRefFunc:
		w.replace(i)
		w.out = w.out.with(opRefFunc, w.m.newIndex(i.index))
	case opMemoryGrow:
		w.gathered += weightGrow
	case opExtended:
		w.bulk(i)
	}
}

func (w *rewriter) call(i *instruction) {
	switch own := int(i.index) - w.m.imported; {
	case own < 0:
		w.gathered += weightHost
	case w.m.shapes[own].light():
		w.gathered += w.m.shapes[own].weight
	default:
		w.takeDown(i, gatherCall)
	}
	w.replace(i)
	w.out = w.out.with(opCall, w.m.newIndex(i.index))
}

// bulk has the operations whose time depends on their operands counted by these, and long ones done in pieces.
func (w *rewriter) bulk(i *instruction) {
	switch i.sub {
	case extMemoryFill:
		w.replace(i)
		w.out = w.out.with(opCall, w.m.helpers.fill)
	case extMemoryCopy:
		w.replace(i)
		w.out = w.out.with(opCall, w.m.helpers.copy)
	case extMemoryInit, extTableInit, extTableCopy, extTableGrow, extTableFill:
		w.flushBefore(i)
		w.out = w.out.with(opCall, w.m.helpers.weigh)
		w.copied = i.start
	}
}

// takeDown takes off the fuel, ahead of an instruction, what has gathered beyond most.
func (w *rewriter) takeDown(i *instruction, most int) {
	if w.gathered > most {
		w.flushBefore(i)
		w.out = w.out.take(w.m.fuel(), w.gathered-most)
		w.gathered = most
	}
}

// settle takes all that has gathered off the fuel and looks at it.
func (w *rewriter) settle() {
	if w.gathered > 0 {
		w.out = w.out.take(w.m.fuel(), w.gathered).with(opGlobalGet, w.m.fuel()).pauseIfNegative(w.m.helpers.pause)
		w.gathered = 0
	}
}

// flushBefore copies the body up to an instruction, flush up to the end of the one read last.
func (w *rewriter) flushBefore(i *instruction) { w.flushTo(i.start) }
func (w *rewriter) flush()                     { w.flushTo(w.body.at) }

func (w *rewriter) flushTo(at int) {
	w.out = append(w.out, w.body.data[w.copied:at]...)
	w.copied = at
}

// replace leaves an instruction out; the caller writes another in its place.
func (w *rewriter) replace(i *instruction) {
	w.flushBefore(i)
	w.copied = i.end
}
