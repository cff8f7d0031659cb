package kubewarden

import (
	"context"
	"io"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/sandbox"
)

// wasi is the protocol of policies that are commands: an argument says what is asked, stdin has the question and stdout takes the
// answer.
type wasi struct {
	caller   caller
	metadata *Metadata // nil for a policy without any
}

var _ sandbox.Protocol = wasi{}

func (wasi) Prepare(wasm []byte) ([]byte, error) { return wasm, nil }

func (wasi) Check(code wazero.CompiledModule) ([]sandbox.Role, error) {
	return []sandbox.Role{sandbox.Admit}, checkFunction(code, startExport, 0, 0)
}

func (w wasi) Link(ctx context.Context, runtime wazero.Runtime, _ wazero.CompiledModule) error {
	return link(ctx, runtime, wasiHostModule, []function{{"call", 8, 1, w.hostCall}})
}

// wasiGuest runs a command; nothing of it is left from one run to the next.
type wasiGuest struct {
	machine  *sandbox.Machine
	metadata *Metadata
}

// run is the command's run under way.
type run struct {
	machine *sandbox.Machine
	in      stdin
	out     stdout
}

type runKey struct{}

// Start has the settings looked at.
func (w wasi) Start(ctx context.Context, machine *sandbox.Machine) (sandbox.Guest, error) {
	g := wasiGuest{machine: machine, metadata: w.metadata}
	return g, checkSettings(g.asker(ctx), machine.Settings())
}

func (g wasiGuest) asker(ctx context.Context) asker {
	return func(operation string, payload []byte) ([]byte, error) { return g.run(ctx, operation, payload) }
}

// Call asks the policy about a review.
func (g wasiGuest) Call(ctx context.Context, _ sandbox.Role, payload []byte) ([]byte, error) {
	return judge(g.asker(ctx), g.metadata, payload, g.machine.Settings())
}

// run runs the command once.
func (g wasiGuest) run(ctx context.Context, operation string, payload []byte) ([]byte, error) {
	argument := operation
	if operation == validateSettings {
		argument = "validate-settings"
	}
	r := &run{machine: g.machine, in: stdin{rest: payload}, out: stdout{most: g.machine.Limits().Output}}
	ctx = context.WithValue(ctx, runKey{}, r)
	module, err := g.machine.Instantiate(ctx, operation, func(c wazero.ModuleConfig) wazero.ModuleConfig {
		return c.WithArgs("policy.wasm", argument).WithStdin(&r.in).WithStdout(&r.out).WithStartFunctions(startExport)
	})
	if module != nil {
		_ = module.Close(ctx) // frees memory, reports nothing of use
	}
	switch {
	case r.out.over:
		return nil, sandbox.Faultf(sandbox.Oversized, "%s: the answer is longer than its output limit of %d bytes", operation, r.out.most)
	case err != nil:
		return nil, err
	case len(r.out.kept) == 0:
		return nil, sandbox.Garbledf("%s gave no answer", operation)
	}
	return r.out.kept, nil
}

// Close has nothing to free.
func (wasiGuest) Close() {}

// hostCall is call(binding, n, namespace, n, operation, n, payload, n): the answer or the error is what stdin has next. It
// returns 0 for an answer, 1 for an error.
func (w wasi) hostCall(ctx context.Context, module api.Module, stack []uint64) {
	r := ctx.Value(runKey{}).(*run)
	response, err := w.caller.hostCall(ctx, r.machine, module, stack)
	r.in.rest = response
	stack[0] = 0
	if err != nil {
		r.in.rest = []byte(err.Error())
		stack[0] = 1
	}
}

// stdin ends where a question ends, and goes on when there is an answer.
type stdin struct{ rest []byte }

func (s *stdin) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// stdout keeps an answer of at most so many bytes; a longer one is an error, which the command sees as a broken pipe.
type stdout struct {
	most int64
	kept []byte
	over bool
}

func (s *stdout) Write(p []byte) (int, error) {
	if s.over = s.over || int64(len(s.kept)+len(p)) > s.most; s.over {
		return 0, io.ErrClosedPipe
	}
	s.kept = append(s.kept, p...)
	return len(p), nil
}
