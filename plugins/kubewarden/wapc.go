package kubewarden

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/sandbox"
)

// wapc is the protocol of policies that stay in memory. A question goes in by __guest_call, which fetches it by
// __guest_request and leaves its answer by __guest_response or __guest_error.
type wapc struct {
	caller   caller
	metadata *Metadata // nil for a policy without any
}

var _ sandbox.Protocol = wapc{}

func (wapc) Prepare(wasm []byte) ([]byte, error) { return wasm, nil }

func (wapc) Check(code wazero.CompiledModule) ([]sandbox.Role, error) {
	if _, ok := code.ExportedMemories()["memory"]; !ok {
		return nil, sandbox.Faultf(sandbox.Rejected, `does not export its memory as "memory"`)
	}
	return []sandbox.Role{sandbox.Admit}, checkFunction(code, guestCallExport, 2, 1)
}

func (w wapc) Link(ctx context.Context, runtime wazero.Runtime, _ wazero.CompiledModule) error {
	return link(ctx, runtime, wapcHostModule, []function{
		{"__guest_request", 2, 0, guestRequest},
		{"__guest_response", 2, 0, guestResponse},
		{"__guest_error", 2, 0, guestError},
		{"__host_call", 8, 1, w.hostCall},
		{"__host_response_len", 0, 1, hostResponseLen},
		{"__host_response", 1, 0, hostResponse},
		{"__host_error_len", 0, 1, hostErrorLen},
		{"__host_error", 1, 0, hostError},
		{"__console_log", 2, 0, consoleLog},
	})
}

// wapcGuest is one running copy of a policy.
type wapcGuest struct {
	machine  *sandbox.Machine
	metadata *Metadata // nil for a policy without any
	module   api.Module
	call     api.Function

	// operation and payload are the question under way, answer and complaint what the guest has said to it.
	operation         string
	payload           []byte
	answer, complaint []byte
	// response and failure are what the last host call has given.
	response, failure []byte
}

type wapcKey struct{}

func wapcGuestFrom(ctx context.Context) *wapcGuest { return ctx.Value(wapcKey{}).(*wapcGuest) }

// Start runs what languages have to be run before the first question, and has the settings looked at.
func (w wapc) Start(ctx context.Context, machine *sandbox.Machine) (sandbox.Guest, error) {
	g := &wapcGuest{machine: machine, metadata: w.metadata}
	ctx = context.WithValue(ctx, wapcKey{}, g)
	var err error
	g.module, err = machine.Instantiate(ctx, "starting", func(c wazero.ModuleConfig) wazero.ModuleConfig {
		return c.WithStartFunctions("_initialize", startExport, "wapc_init")
	})
	if err != nil {
		return nil, err
	}
	g.call = g.module.ExportedFunction(guestCallExport)
	if err := w.introduce(ctx, g); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// introduce makes sure that both sides speak of the same.
func (w wapc) introduce(ctx context.Context, g *wapcGuest) error {
	const version = "v1"
	spoken := version
	if w.metadata != nil && w.metadata.ProtocolVersion != "" {
		spoken = w.metadata.ProtocolVersion
	} else {
		answer, err := g.ask(ctx, protocolVersion, nil)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &spoken); err != nil {
			return sandbox.Garbledf("its answer to %s is no version: %v", protocolVersion, err)
		}
	}
	if spoken != version {
		return sandbox.Faultf(sandbox.Rejected, "speaks version %q of Kubewarden's protocol, this server speaks %s", spoken, version)
	}
	return checkSettings(g.asker(ctx), g.machine.Settings())
}

func (g *wapcGuest) asker(ctx context.Context) asker {
	return func(operation string, payload []byte) ([]byte, error) { return g.ask(ctx, operation, payload) }
}

// Call asks the policy about a review.
func (g *wapcGuest) Call(ctx context.Context, _ sandbox.Role, payload []byte) ([]byte, error) {
	return judge(g.asker(context.WithValue(ctx, wapcKey{}, g)), g.metadata, payload, g.machine.Settings())
}

// ask sends one question.
func (g *wapcGuest) ask(ctx context.Context, operation string, payload []byte) ([]byte, error) {
	g.operation, g.payload = operation, payload
	g.answer, g.complaint = nil, nil
	defer func() { g.payload, g.response, g.failure = nil, nil, nil }()
	ok, err := g.machine.Run(ctx, g.call, operation, uint64(len(operation)), uint64(len(payload)))
	switch {
	case err != nil:
		return nil, err
	case uint32(ok) != 1:
		return nil, sandbox.Faultf(sandbox.Refused, "%s: %s", operation, sandbox.Printable(g.complaint, 512))
	}
	return g.answer, nil
}

// Close frees the guest's memory.
func (g *wapcGuest) Close() {
	_ = g.module.Close(context.Background()) // reports nothing of use
}

// guestRequest is __guest_request(operation, payload): the guest has room for both, of the lengths it was called with.
func guestRequest(ctx context.Context, module api.Module, stack []uint64) {
	g := wapcGuestFrom(ctx)
	put(module, stack[0], []byte(g.operation), "the room for an operation")
	put(module, stack[1], g.payload, "the room for a payload")
}

// guestResponse is __guest_response(text, n).
func guestResponse(ctx context.Context, module api.Module, stack []uint64) {
	g := wapcGuestFrom(ctx)
	g.answer = g.keep(textAt(module, stack, 0, "an answer"))
}

// guestError is __guest_error(text, n).
func guestError(ctx context.Context, module api.Module, stack []uint64) {
	g := wapcGuestFrom(ctx)
	g.complaint = g.keep(textAt(module, stack, 0, "an error"))
}

// keep copies what the guest says, within its limit.
func (g *wapcGuest) keep(text []byte) []byte {
	if most := g.machine.Limits().Output; int64(len(text)) > most {
		panic(sandbox.Faultf(sandbox.Oversized, "the answer has %d bytes, its output limit is %d", len(text), most))
	}
	return append([]byte(nil), text...)
}

// hostCall is __host_call(binding, n, namespace, n, operation, n, payload, n); it returns 1 where there is a response to fetch, 0
// where there is an error.
func (w wapc) hostCall(ctx context.Context, module api.Module, stack []uint64) {
	g := wapcGuestFrom(ctx)
	response, err := w.caller.hostCall(ctx, g.machine, module, stack)
	g.response, g.failure = response, nil
	stack[0] = 1
	if err != nil {
		g.response, g.failure = nil, []byte(err.Error())
		stack[0] = 0
	}
}

func hostResponseLen(ctx context.Context, _ api.Module, stack []uint64) {
	stack[0] = uint64(len(wapcGuestFrom(ctx).response))
}

func hostResponse(ctx context.Context, module api.Module, stack []uint64) {
	put(module, stack[0], wapcGuestFrom(ctx).response, "the room for a host's response")
}

func hostErrorLen(ctx context.Context, _ api.Module, stack []uint64) {
	stack[0] = uint64(len(wapcGuestFrom(ctx).failure))
}

func hostError(ctx context.Context, module api.Module, stack []uint64) {
	put(module, stack[0], wapcGuestFrom(ctx).failure, "the room for a host's error")
}

// consoleLog is __console_log(text, n).
func consoleLog(ctx context.Context, module api.Module, stack []uint64) {
	wapcGuestFrom(ctx).machine.Log(slog.LevelInfo, textAt(module, stack, 0, "a line for the console"))
}
