package sandbox

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// native is the ABI of sdk/SPEC.md.
type native struct{ operations map[string]Operation }

var _ Protocol = native{}

func (native) Prepare(wasm []byte) ([]byte, error) { return wasm, nil }

func (native) Check(code wazero.CompiledModule) ([]Role, error) { return check(code) }

func (n native) Link(ctx context.Context, runtime wazero.Runtime, code wazero.CompiledModule) error {
	if !imports(code, hostModule) {
		return nil
	}
	if err := instantiateHost(ctx, runtime, n.operations); err != nil {
		return fmt.Errorf("provide %s: %w", hostModule, err)
	}
	return nil
}

// Start runs the start function, _initialize and configure.
func (native) Start(ctx context.Context, machine *Machine) (Guest, error) {
	module, err := machine.Instantiate(ctx, "starting", func(c wazero.ModuleConfig) wazero.ModuleConfig {
		return c.WithStartFunctions(initializeExport)
	})
	if err != nil {
		return nil, err
	}
	g := &nativeGuest{in: machine.in, module: module, alloc: module.ExportedFunction(allocExport)}
	g.admitsByField = module.ExportedFunction(byFieldExport) != nil
	g.roles = make(map[Role]api.Function, len(g.in.module.roles))
	for _, role := range g.in.module.roles {
		g.roles[role] = module.ExportedFunction(string(role))
	}
	if fault := g.configure(); fault != nil {
		g.Close()
		return nil, fault
	}
	return g, nil
}

// nativeGuest is one running copy of a guest of the native ABI.
type nativeGuest struct {
	in     *instance
	module api.Module
	alloc  api.Function
	roles  map[Role]api.Function
	// admitsByField is set when the guest wants no payload in the role admit.
	admitsByField bool
}

func (g *nativeGuest) byField(role Role) bool { return role == Admit && g.admitsByField }

// configure hands the guest its settings; a guest without the function takes none.
func (g *nativeGuest) configure() *Fault {
	options := g.in.module.options
	settings := options.Settings
	configure := g.module.ExportedFunction(configureExport)
	if configure == nil {
		if len(settings) > 0 {
			return faultf(Refused, "has settings but exports no %q to take them", configureExport)
		}
		return nil
	}
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	g.in.work.fields = options.SettingsFields
	defer func() { g.in.work.fields = nil }()
	complaint, fault := g.run(configure, configureExport, settings)
	if fault != nil {
		return fault
	}
	if len(complaint) > 0 {
		return faultf(Refused, "refuses its settings: %s", printable(complaint, 512))
	}
	return nil
}

// Call runs one role.
func (g *nativeGuest) Call(_ context.Context, role Role, payload []byte) ([]byte, error) {
	function := g.roles[role]
	if function == nil {
		return nil, faultf(Rejected, "does not play the role %s", role)
	}
	answer, fault := g.run(function, string(role), payload)
	if fault != nil {
		return nil, fault
	}
	return answer, nil
}

// run copies payload into the guest, if there is any, calls function with it and returns a view of its answer, valid until the
// guest runs again.
func (g *nativeGuest) run(function api.Function, name string, payload []byte) ([]byte, *Fault) {
	ctx, limit := g.in.work.ctx, g.in.work.limit
	at, fault := g.give(payload)
	if fault != nil {
		return nil, fault
	}
	stack := [2]uint64{uint64(at.ptr), uint64(at.n)}
	if err := function.CallWithStack(ctx, stack[:]); err != nil {
		return nil, runFault(ctx, err, name, limit)
	}
	answer := unpack(stack[0])
	if answer.n == 0 {
		return nil, nil
	}
	if most := g.in.module.options.Limits.Output; int64(answer.n) > most {
		return nil, faultf(Oversized, "%s answered %d bytes, its output limit is %d", name, answer.n, most)
	}
	return view(g.module.Memory(), answer, "the answer of "+name)
}

// give copies payload into the guest.
func (g *nativeGuest) give(payload []byte) (span, *Fault) {
	if len(payload) == 0 {
		return span{}, nil
	}
	ctx, limit := g.in.work.ctx, g.in.work.limit
	stack := [1]uint64{uint64(len(payload))}
	if err := g.alloc.CallWithStack(ctx, stack[:]); err != nil {
		return span{}, runFault(ctx, err, allocExport, limit)
	}
	at := span{ptr: uint32(stack[0]), n: uint32(len(payload))}
	if at.ptr == 0 {
		return span{}, faultf(Refused, "has no memory for a payload of %d bytes", at.n)
	}
	buffer, fault := view(g.module.Memory(), at, "the buffer from alloc")
	if fault != nil {
		return span{}, fault
	}
	copy(buffer, payload)
	return at, nil
}

func (g *nativeGuest) Close() {
	_ = g.module.Close(context.Background()) // frees memory, reports nothing of use
}
