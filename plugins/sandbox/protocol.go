package sandbox

import (
	"context"
	"log/slog"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/linear"
)

// Protocol is how guests of one kind are recognised, linked, started and asked. The native ABI is one; packages beside this one
// adapt those of other ecosystems, so that their policies run under the same limits, meter, pool and faults. A Protocol
// serves one Module, from several goroutines.
type Protocol interface {
	// Prepare changes a module's bytes before they are metered and compiled, where the sandbox could not run them as they
	// are. It must not change wasm itself.
	Prepare(wasm []byte) ([]byte, error)
	// Check returns the roles that a compiled module plays, or a *Fault that says what it lacks.
	Check(code wazero.CompiledModule) ([]Role, error)
	// Link provides in runtime what code imports, other than WASI. What is left to be desired is found by the caller.
	Link(ctx context.Context, runtime wazero.Runtime, code wazero.CompiledModule) error
	// Start makes a guest that is ready for calls and has taken its settings, or fails with a *Fault. ctx carries the deadline.
	Start(ctx context.Context, machine *Machine) (Guest, error)
}

// Guest is one running copy of a module. One goroutine uses it at a time.
type Guest interface {
	// Call answers payload in one role. Guest code must be run under ctx, or a context made of it. The answer is valid until the
	// next call. Any error is taken for what it is: a *Fault costs the guest its life, others do not.
	Call(ctx context.Context, role Role, payload []byte) (answer []byte, err error)
	// Close frees what the guest holds. It is not called during a Call, and at most once.
	Close()
}

// Machine is what the sandbox does for one guest. It is the guest's own, and may be used while it starts and while it is called.
type Machine struct{ in *instance }

// Settings is the JSON object of the guest's settings; it is {} where there are none. It must not be changed.
func (m *Machine) Settings() []byte {
	if settings := m.in.module.options.Settings; len(settings) > 0 {
		return settings
	}
	return []byte("{}")
}

// Limits are those of the guest, with no field zero.
func (m *Machine) Limits() Limits { return m.in.module.options.Limits }

// Log passes a message of the guest on to its log, within the budget of the call under way.
func (m *Machine) Log(level slog.Level, message []byte) { m.in.written.log(level, message) }

// Instantiate makes an instance of the guest's module, in memory of its own, and runs what adjust names as start functions. The
// caller closes it. The error is a *Fault that names doing; a guest that exits well is none.
func (m *Machine) Instantiate(ctx context.Context, doing string, adjust func(wazero.ModuleConfig) wazero.ModuleConfig) (api.Module, error) {
	config := adjust(m.in.config().WithStartFunctions())
	module, err := m.in.module.runtime.InstantiateModule(linear.With(ctx, &m.in.module.memory), m.in.module.code, config)
	if err != nil {
		return nil, runFault(ctx, err, doing, m.in.work.limit)
	}
	return module, nil
}

// Run calls a function of the guest. stack holds its parameters and then its results; it must have room for the longer of them. The
// error is a *Fault that names doing.
func (m *Machine) Run(ctx context.Context, function api.Function, doing string, stack ...uint64) (uint64, error) {
	if len(stack) == 0 {
		stack = []uint64{0}
	}
	if err := function.CallWithStack(ctx, stack); err != nil {
		return 0, runFault(ctx, err, doing, m.in.work.limit)
	}
	return stack[0], nil
}

// View returns n bytes of the guest's memory, or a *Fault that says what lies elsewhere. They are the guest's own: what runs next
// may change or move them.
func View(memory api.Memory, ptr, n uint32, what string) ([]byte, error) {
	data, fault := view(memory, span{ptr: ptr, n: n}, what)
	if fault != nil {
		return nil, fault
	}
	return data, nil
}

// MustView is View for the functions that a guest imports, which have no other way than a panic to end their guest: it becomes the
// fault of the guest's call.
func MustView(memory api.Memory, ptr, n uint32, what string) []byte {
	data, fault := view(memory, span{ptr: ptr, n: n}, what)
	if fault != nil {
		panic(fault)
	}
	return data
}

// Faultf makes a fault of a kind.
func Faultf(kind FaultKind, format string, args ...any) *Fault { return faultf(kind, format, args...) }

// Printable makes a guest's text fit for one line of a log or of an error, cut to limit bytes.
func Printable(text []byte, limit int) string { return printable(text, limit) }
