package meter

// When weight that has gathered is taken off the fuel. Taking it costs as much as an instruction or two, so that little is left
// to be counted elsewhere.
const (
	// gatherCall is how much may be left uncounted when a metered function is called. The callee looks at the fuel.
	gatherCall = 96
	// gatherLoop is how much a turn of a loop may leave to the loop's head to count.
	gatherLoop = 64
	// gatherMost is how much a function may do before it looks at the fuel itself, on a way without loops.
	gatherMost = 4096
	// gatherLast is how much may be left to be looked at when a function returns.
	gatherLast = 64
	// What a function takes on entry counts for the entry itself, for what it does first, and for what it does last.
	creditFirst, creditLast = 24, 32
)

// rewriter writes one function anew. It walks once over the instructions and knows at each the most that may have been done
// since fuel was taken last, on whichever way one gets there.
type rewriter struct {
	m    *module
	body *reader
	out  code
	// function is its index, params and results its type.
	function        uint32
	params, results []byte
	// copied is up to where the body has been written to out.
	copied int
	frames []frame
	// gathered is the weight of what has been done and not yet been taken off the fuel. It is negative while there is credit.
	gathered int
	// dead is set where no way leads.
	dead bool
	// level is how many blocks are open in out.
	level int
	// tested is set when the fuel is looked at on entry, and the body in a block that is left when there is none.
	tested bool
	// constant is what an i32.const that ends at constantEnd has pushed.
	constant    uint32
	constantEnd int
	// stack is what the function takes of the stack; 0 when it calls no others, for then it can be there but once.
	stack int
}

// frame is a block, a loop, an if or the function itself.
type frame struct {
	op byte
	// level is how many blocks are open in out where a branch to the frame is nearest to it.
	level int
	// wide is set when a loop has got blocks around it.
	wide bool
	// reached is set when a branch leads to the frame's end, or an if may be passed by; gathered is the most that it brings.
	reached  bool
	gathered int
	// before is what had gathered ahead of an if, dead whether any way leads into the frame.
	before int
	dead   bool
	// head is where in out the number lies that a loop's head takes, and turn what it must be.
	head, turn int
}

// rewrite appends a function, its size first, to out.
func (m *module) rewrite(out []byte, body *reader, function int, s shape) []byte {
	body.at = s.locals
	if s.light() {
		return m.renumber(out, body)
	}
	t := m.typeOf(uint32(function))
	w := &rewriter{m: m, body: body, function: uint32(function), params: t.params, results: t.results,
		frames: make([]frame, 1, 16), gathered: -creditFirst}
	if s.calls {
		w.stack = s.frame
	}
	w.out = append(make(code, 0, len(body.data)*3/2+64), body.data[:s.locals]...)
	w.copied = s.locals
	w.enter()
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

// enter takes the entry's fuel and the frame's stack. When there is no fuel, the function pauses and calls itself:
//
//	block                   ;; take fuel; if there is none, leave the block
//	  block                 ;; what the function results in
//	    ...                 ;; the guest's
//	  end
//	  return                ;; give the stack back
//	end
//	call pause
//	call the function       ;; with its parameters
//
// A call that is followed by anything else would cost every call, not only those that pause, for the compiler would keep
// parameters in memory across it. A function that begins with a loop, as all of Go's do that call others, leaves looking at
// the fuel to that. The stack is looked at by pauses only: as fuel is taken in proportion to it, one comes before there is much
// too little of it. Only very large frames are looked at on their own.
func (w *rewriter) enter() {
	fuel := max(weightEntry, w.stack/bytesPerUnit)
	large := fuel > weightEntryMost
	w.tested = w.body.data[w.body.at] != opLoop
	if w.tested {
		w.out = append(w.out, opBlock, noResult)
		w.level++
	}
	w.out = w.out.take(w.m.fuel(), min(fuel, weightEntryMost))
	if w.tested {
		w.out = w.out.ifNegative(w.m.fuel(), opBrIf, 0)
	}
	if w.stack > 0 {
		w.out = w.out.take(w.m.stack(), w.stack)
		if large {
			w.out = w.out.pauseIfNegative(w.m.stack(), w.m.helpers.pause)
		}
	}
	w.out = append(append(w.out, opBlock), w.m.wrapType(w.results)...)
	w.level++
	w.frames[0].level = w.level
}

// leave counts what is left and gives the stack back; the results lie on the operand stack already. The function's own end has
// been copied as that of the block around the guest's instructions.
func (w *rewriter) leave() {
	w.flush()
	w.last()
	if w.stack > 0 {
		w.out = w.out.take(w.m.stack(), -w.stack)
	}
	if w.tested {
		w.out = append(w.out, opReturn, opEnd).with(opCall, w.m.helpers.pause)
		for i := range w.params {
			w.out = w.out.with(opLocalGet, uint32(i))
		}
		w.out = w.out.with(opCall, w.m.newIndex(w.function))
	}
	w.out = append(w.out, opEnd)
}

// instruction writes one instruction and what must come before and after it.
func (w *rewriter) instruction(i *instruction) {
	if !w.control(i) {
		w.plain(i)
	}
	if i.op == opI32Const {
		w.constant, w.constantEnd = unsigned(w.body.data[i.start+1:i.end]), i.end
	}
	if !w.dead && w.gathered > gatherMost && len(w.frames) > 0 {
		w.flush()
		w.settle(0)
	}
}

// control knows what makes ways part and meet. It reports false for all other instructions.
func (w *rewriter) control(i *instruction) bool {
	if !w.dead {
		w.gathered += i.weight()
	}
	switch i.op {
	case opBlock, opIf:
		w.level++
		w.frames = append(w.frames, frame{op: i.op, level: w.level, before: w.gathered, dead: w.dead})
	case opLoop:
		w.loop(i)
	case opElse:
		f := &w.frames[len(w.frames)-1]
		w.reach(f)
		f.op = opElse
		w.gathered, w.dead = f.before, f.dead
	case opEnd:
		w.end()
	case opBr, opBrIf:
		w.branch(i, i.index)
		w.dead = w.dead || i.op == opBr
	case opBrTable:
		w.branch(i, i.labels...)
		w.dead = true
	case opReturn:
		i.op = opBr
		w.branch(i, uint32(len(w.frames)-1))
		w.dead = true
	case opUnreachable:
		w.dead = true
	default:
		return false
	}
	return true
}

// loop looks at the fuel at each turn. To pause it is left for a loop around it, which calls the host and enters it again:
//
//	block                   ;; what the loop results in
//	  loop
//	    block
//	      loop              ;; the guest's
//	        ...             ;; take fuel; if there is none, leave the block
//	      end
//	      br 2
//	    end
//	    call pause
//	    br 0
//	  end
//	  unreachable
//	end
//
// A call within the loop would have the compiler keep in memory, at each turn, what changes with each turn.
func (w *rewriter) loop(i *instruction) {
	f := frame{op: opLoop, dead: w.dead, turn: 1}
	w.level++
	if !w.dead {
		w.turn(i, &f)
		w.flushBefore(i)
		f.wide = i.index == noType || len(w.m.types[i.index].params) == 0
		if f.wide {
			w.out = append(append(w.out, opBlock), w.body.data[i.start+1:i.end]...)
			w.out = append(w.out, opLoop, noResult, opBlock, noResult)
			w.level += 3
		}
		w.flush()
		w.out = w.out.with(opGlobalGet, w.m.fuel())
		f.head = len(w.out) + 1
		w.out = append(w.out, opI32Const, 0, 0, opI32Sub).with(opGlobalSet, w.m.fuel())
		if f.wide {
			w.out = w.out.ifNegative(w.m.fuel(), opBrIf, 1)
		} else { // it has parameters, which compilers do not write
			w.out = w.out.pauseIfNegative(w.m.fuel(), w.m.helpers.pause)
		}
		w.gathered = 0
	}
	f.level = w.level
	w.frames = append(w.frames, f)
}

// closeLoop writes what follows a loop, and in its head what a turn takes: two bytes of signed LEB128, whatever it is.
func (w *rewriter) closeLoop(f *frame) {
	if f.head > 0 {
		w.out[f.head], w.out[f.head+1] = byte(f.turn)|0x80, byte(f.turn>>7)
	}
	if f.wide {
		w.flush()
		w.out = append(w.out, opBr, 2, opEnd).with(opCall, w.m.helpers.pause)
		w.out = append(w.out, opBr, 0, opEnd, opUnreachable, opEnd)
		w.level -= 3
	}
}

// turn is called on each way to a loop's head. The head counts as much as any of these ways leaves to it.
func (w *rewriter) turn(i *instruction, loop *frame) {
	if w.gathered > gatherLoop {
		w.takeDown(i, 0)
	}
	loop.turn = max(loop.turn, w.gathered)
}

// end closes a frame: what follows it is reached through it or by branches to it, but for a loop, whose label is its head.
func (w *rewriter) end() {
	f := w.frames[len(w.frames)-1]
	w.reach(&f)
	if f.op == opIf && !f.dead { // without an else the condition may lead past it
		f.reachedWith(f.before)
	}
	w.gathered, w.dead = f.gathered, !f.reached
	w.frames = w.frames[:len(w.frames)-1]
	w.level--
	if f.op == opLoop {
		w.closeLoop(&f)
	}
}

// last counts what the function has done in the end.
func (w *rewriter) last() {
	if w.gathered > creditLast+gatherLast {
		w.settle(creditLast)
	} else if w.gathered > creditLast {
		w.out = w.out.take(w.m.fuel(), w.gathered-creditLast)
	}
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

// branch writes a branch anew, for blocks may have come in between, and counts before it.
func (w *rewriter) branch(i *instruction, labels ...uint32) {
	w.count(i, labels...)
	w.replace(i)
	w.out = append(w.out, i.op)
	if i.op == opBrTable {
		w.out = appendUint(w.out, len(labels)-1)
	}
	for _, label := range labels {
		w.out = appendUint(w.out, w.level-w.target(label).level)
	}
}

// target is the frame that a label means.
func (w *rewriter) target(label uint32) *frame { return &w.frames[len(w.frames)-1-int(label)] }

// count takes down what has gathered before a branch, as far as what it leads to does not.
func (w *rewriter) count(i *instruction, labels ...uint32) {
	if w.dead {
		return
	}
	for _, label := range labels {
		if f := w.target(label); f.op == opLoop {
			w.turn(i, f)
		}
	}
	for _, label := range labels { // after the first loop, for it changes what has gathered
		if f := w.target(label); f.op != opLoop {
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
	if i.sub == extMemoryFill || i.sub == extMemoryCopy {
		length, known := w.lengthOf(i)
		if known = known && length <= shortMost; !known {
			length = shortMost // the helpers count what is longer
		}
		if !w.dead {
			w.gathered += weightShort + int(length)>>pieceShift
		}
		if known {
			return // it stays as it is
		}
	}
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

// lengthOf is the length that a bulk operation is given, when it is the constant right before it.
func (w *rewriter) lengthOf(i *instruction) (length uint32, known bool) {
	return w.constant, w.constantEnd == i.start
}

// takeDown takes off the fuel, ahead of an instruction, what has gathered beyond most.
func (w *rewriter) takeDown(i *instruction, most int) {
	if w.gathered > most {
		w.flushBefore(i)
		w.out = w.out.take(w.m.fuel(), w.gathered-most)
		w.gathered = most
	}
}

// settle takes what has gathered beyond most off the fuel and looks at it.
func (w *rewriter) settle(most int) {
	w.out = w.out.take(w.m.fuel(), w.gathered-most).pauseIfNegative(w.m.fuel(), w.m.helpers.pause)
	w.gathered = most
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
