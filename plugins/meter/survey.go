package meter

// shape is what the survey finds out of a function before any is rewritten.
type shape struct {
	// locals is where its declarations of local variables end and its instructions begin.
	locals int
	// frame estimates how much stack a call takes, in bytes.
	frame int
	// weight is the sum of its instructions' weights.
	weight int
	// calls is set when the function calls others, loops when it has a loop, bulk when it has an instruction whose duration
	// depends on its operands.
	calls, loops, bulk bool
}

// light reports whether a function is over so soon that its caller may count it as an instruction.
func (s shape) light() bool { return !s.calls && !s.loops && !s.bulk && s.weight <= weightLight }

// survey reads all functions, checks them, and notes what rewriting them takes.
func (m *module) survey(in *reader) {
	count := in.count("functions", 3, maxFunctions)
	if own := len(m.functions) - m.imported; !in.broken() && int(count) != own {
		in.fail("has %d function bodies, but declares %d functions", count, own)
	}
	locals := 0
	for i := 0; i < int(count) && !in.broken(); i++ {
		body := in.sub(in.uint32())
		n := 0
		s := m.surveyFunction(body, m.imported+i, &n)
		if locals += n; locals > maxAllLocals {
			body.fail("has more than %d local variables", maxAllLocals)
		}
		if body.broken() && !in.broken() {
			in.err = body.err
			in.err.Function = m.imported + i
		}
		m.shapes = append(m.shapes, s)
	}
}

// surveyFunction reads one function and adds how many local variables it declares to locals.
func (m *module) surveyFunction(body *reader, function int, locals *int) shape {
	params := len(m.typeOf(uint32(function)).params)
	*locals = readLocals(body)
	s := shape{locals: body.at}
	var i instruction
	blocks := 0
	for depth := 1; depth > 0 && !body.broken(); {
		i.next(body)
		switch i.op {
		case opBlock, opLoop, opIf:
			depth++
			blocks++
			if i.op == opLoop {
				s.loops = true
				blocks += loopBlocks
			}
			if blocks > maxBlocks {
				body.fail("has more than %d blocks, a loop counting for %d", maxBlocks, 1+loopBlocks)
			}
		case opEnd:
			depth--
		case opCall, opCallIndirect:
			s.calls = true
		case opMemoryGrow:
			s.bulk = true
		case opExtended:
			s.bulk = s.bulk || i.sub >= extMemoryInit
		}
		m.checkIndices(&i, body, depth, params+*locals)
		s.weight += i.weight()
	}
	if body.more() {
		body.fail("has instructions after its end")
	}
	s.frame = frameSize(params+*locals, len(body.data)-s.locals)
	return s
}

// checkIndices refuses what is out of the module's own range: the rewriter adds types, functions, globals and a label, and
// none of them may come within the guest's reach.
func (m *module) checkIndices(i *instruction, body *reader, depth, locals int) {
	limit, what := 0, ""
	switch i.op {
	case opBlock, opLoop, opIf:
		if i.index == noType {
			return
		}
		limit, what = len(m.types), "type"
	case opCallIndirect:
		limit, what = len(m.types), "type"
	case opCall, opRefFunc:
		limit, what = len(m.functions), "function"
	case opGlobalGet, opGlobalSet:
		limit, what = m.globals, "global"
	case opLocalGet, opLocalSet, opLocalTee:
		limit, what = locals, "local variable"
	case opBr, opBrIf:
		limit, what = depth, "label"
	case opBrTable:
		for _, label := range i.labels {
			if uint64(label) >= uint64(depth) {
				body.fail("refers to the label %d, but has %d there", label, depth)
			}
		}
		return
	case opExtended:
		if !m.memory && (i.sub == extMemoryCopy || i.sub == extMemoryFill) {
			body.fail("copies or fills memory, but has none")
		}
		return
	default:
		return
	}
	if uint64(i.index) >= uint64(limit) {
		body.fail("refers to the %s %d, but has %d there", what, i.index, limit)
	}
}

// readLocals passes over a function's declarations of local variables and returns how many there are.
func readLocals(body *reader) int {
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
	return int(all)
}

// frameSize estimates how many bytes of stack a call takes: what each local variable takes, and what calls and arithmetic
// leave in between, which the runtime's compiler gives a place of its own each. A function whose frame is huge may still nest
// a few times.
func frameSize(locals, size int) int { return min(64+8*locals+size/4, Stack/16) }
