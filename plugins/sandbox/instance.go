package sandbox

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/linear"
)

// instance is one running copy of a guest. One goroutine uses it at a time; the pool sees to that.
type instance struct {
	module *Module
	guest  api.Module
	alloc  api.Function
	roles  map[Role]api.Function

	// work is what host functions need to know of the call under way.
	work work
	// written collects what the guest writes to stdout and stderr, and logs, during the call under way.
	written output
	// idleSince is when the instance last came back to the pool.
	idleSince time.Time
}

// work is one call's state on the host's side.
type work struct {
	// ctx ends at the guest's deadline.
	ctx context.Context
	// limit is how long ctx was given.
	limit  time.Duration
	fields Fields
	// pending is the last answer of a host function that did not fit the guest's buffer.
	pending []byte
}

// instanceKey finds the instance in the context of its own calls: a host function gets nothing else of ours.
type instanceKey struct{}

func instanceFrom(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }

// instantiate makes an instance ready for calls: start function, _initialize, configure, all within Limits.Start.
func (m *Module) instantiate(ctx context.Context) (*instance, error) {
	in := &instance{module: m, written: output{logger: m.options.Logger}}
	ctx, done := in.begin(ctx, m.options.Limits.Start, nil)
	defer done()
	var err error
	if in.guest, err = m.runtime.InstantiateModule(linear.With(ctx), m.code, in.config()); err != nil {
		return nil, in.fault(runFault(ctx, err, "starting", in.work.limit))
	}
	in.alloc = in.guest.ExportedFunction(allocExport)
	in.roles = make(map[Role]api.Function, len(m.roles))
	for _, role := range m.roles {
		in.roles[role] = in.guest.ExportedFunction(string(role))
	}
	if fault := in.configure(); fault != nil {
		in.close()
		return nil, in.fault(fault)
	}
	return in, nil
}

// config gives the guest clocks, randomness and its log, and nothing else: no arguments, environment, files or sockets.
// Clocks are real because a guest that checks an expiry date against an invented one would let the expired in.
func (in *instance) config() wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName(""). // anonymous, so that many can live in one runtime
		WithStartFunctions(initializeExport).
		WithStdout(&stream{in: in, to: &in.written.stdout}).
		WithStderr(&stream{in: in, to: &in.written.stderr}).
		WithSysWalltime().
		WithSysNanotime().
		WithNanosleep(in.sleep).
		WithRandSource(randomness{in})
}

// sleep lets a guest sleep no longer than it may run.
func (in *instance) sleep(ns int64) {
	timer := time.NewTimer(time.Duration(ns))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-in.work.ctx.Done():
	}
}

// configure hands the guest its settings; a guest without the function takes none.
func (in *instance) configure() *Fault {
	settings := in.module.options.Settings
	configure := in.guest.ExportedFunction(configureExport)
	if configure == nil {
		if len(settings) > 0 {
			return faultf(Refused, "has settings but exports no %q to take them", configureExport)
		}
		return nil
	}
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	in.work.fields = in.module.options.SettingsFields
	defer func() { in.work.fields = nil }()
	complaint, fault := in.run(configure, configureExport, settings)
	if fault != nil {
		return fault
	}
	if len(complaint) > 0 {
		return faultf(Refused, "refuses its settings: %s", printable(complaint, 512))
	}
	return nil
}

// call runs one role and has its answer read.
func (in *instance) call(ctx context.Context, role Role, request Request, accept func([]byte) error) error {
	function := in.roles[role]
	if function == nil {
		return faultf(Rejected, "does not play the role %s", role)
	}
	_, done := in.begin(ctx, in.module.options.Limits.Deadline, request.Fields)
	defer done()
	answer, fault := in.run(function, string(role), request.Payload)
	if fault != nil {
		return in.fault(fault)
	}
	if len(answer) == 0 {
		return in.fault(faultf(Garbled, "%s gave no answer", role))
	}
	return accept(answer)
}

// begin opens a stretch of guest work that must end within limit, or at the caller's own deadline if that is sooner. The
// returned function closes it.
func (in *instance) begin(parent context.Context, limit time.Duration, fields Fields) (context.Context, func()) {
	if deadline, ok := parent.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), limit)
	ctx = context.WithValue(ctx, instanceKey{}, in)
	in.work = work{ctx: ctx, limit: limit, fields: fields}
	return ctx, func() {
		cancel()
		in.work = work{}
		in.written.flush()
	}
}

// run copies payload into the guest, calls function with it and returns a view of its answer, valid until the guest runs
// again.
func (in *instance) run(function api.Function, name string, payload []byte) ([]byte, *Fault) {
	ctx, limit := in.work.ctx, in.work.limit
	memory := in.guest.Memory()
	stack := [2]uint64{uint64(len(payload))}
	if err := in.alloc.CallWithStack(ctx, stack[:]); err != nil {
		return nil, runFault(ctx, err, allocExport, limit)
	}
	at := span{ptr: uint32(stack[0]), n: uint32(len(payload))}
	if at.ptr == 0 {
		return nil, faultf(Refused, "has no memory for a payload of %d bytes", at.n)
	}
	buffer, fault := view(memory, at, "the buffer from alloc")
	if fault != nil {
		return nil, fault
	}
	copy(buffer, payload)
	stack = [2]uint64{uint64(at.ptr), uint64(at.n)}
	if err := function.CallWithStack(ctx, stack[:]); err != nil {
		return nil, runFault(ctx, err, name, limit)
	}
	answer := unpack(stack[0])
	if answer.n == 0 {
		return nil, nil
	}
	if most := in.module.options.Limits.Output; int64(answer.n) > most {
		return nil, faultf(Oversized, "%s answered %d bytes, its output limit is %d", name, answer.n, most)
	}
	return view(memory, answer, "the answer of "+name)
}

// fault adds what the guest wrote to stderr, which is where a language's runtime says why it gave up.
func (in *instance) fault(f *Fault) *Fault {
	if last := in.written.lastWords(); last != "" {
		f.Cause += ": " + last
	}
	return f
}

func (in *instance) close() {
	if in.guest != nil {
		_ = in.guest.Close(context.Background()) // frees memory, reports nothing of use
	}
}
