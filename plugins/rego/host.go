package rego

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/sandbox"
)

// maxArity is how many arguments a function of the host may have.
const maxArity = 4

// maxMessage bounds what a policy prints, or says when it gives up.
const maxMessage = 4096

// guestKey finds the guest in the context of its own calls.
type guestKey struct{}

func guestFrom(ctx context.Context) *guest { return ctx.Value(guestKey{}).(*guest) }

// hostAbort is opa_abort(text): the policy cannot go on.
func hostAbort(_ context.Context, module api.Module, stack []uint64) {
	message := cText(module.Memory(), uint32(stack[0]), maxMessage)
	panic(sandbox.Faultf(sandbox.Trapped, "the policy gave up: %s", sandbox.Printable(message, 256)))
}

// hostPrint is opa_println(text).
func hostPrint(ctx context.Context, module api.Module, stack []uint64) {
	guestFrom(ctx).machine.Log(slog.LevelInfo, cText(module.Memory(), uint32(stack[0]), maxMessage))
}

// hostBuiltin is opa_builtinN(id, context, arguments...): one function for each number of arguments.
func hostBuiltin(arity int) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		g := guestFrom(ctx)
		id := int32(uint32(stack[0]))
		if g.inBuiltin { // each level would take of the host's stack, which no meter counts
			panic(sandbox.Faultf(sandbox.Trapped, "the policy calls the function %d while the host is at another", id))
		}
		g.inBuiltin = true
		defer func() { g.inBuiltin = false }()
		name, b, ok := g.builtin(id)
		if !ok || b.arity != arity {
			panic(sandbox.Faultf(sandbox.Trapped, "the policy calls the function %d with %d arguments, which it has not asked for",
				id, arity))
		}
		args := make([]any, arity)
		for i := range args {
			value, err := g.read(ctx, uint32(stack[2+i]))
			if err != nil {
				panic(fmt.Errorf("an argument of %s: %w", name, err))
			}
			args[i] = value
		}
		result, err := b.answer(ctx, args)
		if err != nil {
			g.machine.Log(slog.LevelDebug, fmt.Appendf(nil, "%s is undefined: %v", name, err))
			stack[0] = 0
			return
		}
		at, err := g.write(ctx, appendValue(nil, result, ""), g.functions.valueParse)
		if err != nil {
			panic(fmt.Errorf("the result of %s: %w", name, err))
		}
		stack[0] = uint64(at)
	}
}

// cText is the text at an address up to its zero, or most bytes of it, or none where the address is wrong.
func cText(memory api.Memory, at uint32, most int) []byte {
	if at >= memory.Size() {
		return nil
	}
	text, _ := memory.Read(at, min(memory.Size()-at, uint32(most)))
	before, _, _ := bytes.Cut(text, []byte{0})
	return before
}
