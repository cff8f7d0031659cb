package rego

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/kubewarden"
	"gatehouse/plugins/sandbox"
)

// Convention says what a policy expects as its input.
type Convention string

const (
	// OPA: the input is the AdmissionReview, the data are the settings.
	OPA Convention = "opa"
	// Gatekeeper: the input is an object of review and parameters.
	Gatekeeper Convention = "gatekeeper"
)

// Options say how a policy is asked. Their zero value leaves all to what the module says.
type Options struct {
	// Convention is empty to find out from the module.
	Convention Convention
	// Entrypoint is the rule that is asked, as it was given to opa build: "policy/violation". Empty means the module's first.
	Entrypoint string
	// Now is the clock of time.now_ns; nil means time.Now.
	Now func() time.Time
	// Operations are those that a native guest would have of host_call; http.send is http.fetch among them. What is not there is denied.
	Operations map[string]sandbox.Operation
	// Inventory is what a policy of Gatekeeper's convention sees as data.inventory; nil for one that may see nothing.
	Inventory Inventory
}

// Inventory holds copies of the cluster's objects. It is used by several goroutines at once.
type Inventory interface {
	// Current is the inventory as JSON, and its number: the same number means the same data, and 0 is none's. They must not be changed.
	Current(ctx context.Context) (data []byte, revision uint64, err error)
}

// memoryExport is what a module's memory is called, also where the module itself does not export it.
const memoryExport = "memory"

// hostModule is what a module imports its host's functions from.
const hostModule = "env"

// Detect reports whether a module is a compiled Rego policy.
func Detect(m *binary.Module) bool {
	return m.Exported(binary.Function, "opa_malloc") && m.Exported(binary.Function, "opa_json_parse") &&
		m.Exported(binary.Function, "entrypoints")
}

// New makes the protocol for a policy that Detect knows.
func New(m *binary.Module, options Options) sandbox.Protocol {
	if options.Now == nil {
		options.Now = time.Now
	}
	p := &protocol{options: options}
	if metadata, err := kubewarden.ReadMetadata(m); err == nil && metadata != nil { // those that cannot be read are for others to refuse
		p.neverPatches = metadata.NeverMutates()
		if mode := Convention(metadata.ExecutionMode); options.Convention == "" && (mode == OPA || mode == Gatekeeper) {
			p.options.Convention = mode
		}
	}
	return p
}

type protocol struct {
	options Options
	// readsInventory says that data.inventory is spoken of; Prepare finds out.
	readsInventory bool
	// neverPatches says that the policy has promised, in Kubewarden's metadata, to leave objects as they are.
	neverPatches bool
}

var _ sandbox.Protocol = (*protocol)(nil)

// inventoryWord is the text inventory as OPA's compiler leaves it in a module, among others.
const inventoryWord = "\x00inventory\x00"

// Prepare gives the module a memory of its own.
func (p *protocol) Prepare(wasm []byte) ([]byte, error) {
	p.readsInventory = bytes.Contains(wasm, []byte(inventoryWord))
	prepared, err := binary.OwnMemory(wasm, memoryExport)
	if err != nil {
		return nil, sandbox.Faultf(sandbox.Rejected, "%v", err)
	}
	return prepared, nil
}

// signatures are the functions of ABI 1.0 that this package calls, with how many i32 they take; each but those of void gives one.
func signatures() map[string]int {
	return map[string]int{
		"builtins": 0, "entrypoints": 0, "opa_malloc": 1, "opa_json_parse": 2, "opa_json_dump": 1, "opa_value_parse": 2, "opa_value_dump": 1,
		"opa_heap_ptr_get": 0, "opa_heap_ptr_set": 1, "opa_eval_ctx_new": 0, "opa_eval_ctx_set_input": 2, "opa_eval_ctx_set_data": 2,
		"opa_eval_ctx_set_entrypoint": 2, "opa_eval_ctx_get_result": 1, "eval": 1,
	}
}

// Check finds the functions that are to be called.
func (*protocol) Check(code wazero.CompiledModule) ([]sandbox.Role, error) {
	exports := code.ExportedFunctions()
	wanted := signatures()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		f := exports[name]
		if f == nil {
			return nil, sandbox.Faultf(sandbox.Rejected, "does not export the function %q of OPA's ABI 1: compile the policy with "+
				"OPA 0.27 or later", name)
		}
		results := f.ResultTypes()
		if !slices.Equal(f.ParamTypes(), i32s(wanted[name])) || len(results) > 1 || !slices.Equal(results, i32s(len(results))) {
			return nil, sandbox.Faultf(sandbox.Rejected, "exports %q with another type than OPA's ABI has", name)
		}
	}
	if _, ok := code.ExportedMemories()[memoryExport]; !ok {
		return nil, sandbox.Faultf(sandbox.Rejected, "does not export its memory as %q", memoryExport)
	}
	return []sandbox.Role{sandbox.Admit}, nil
}

func i32s(n int) []api.ValueType { return slices.Repeat([]api.ValueType{api.ValueTypeI32}, n) }

// Link provides what a policy calls its host for.
func (*protocol) Link(ctx context.Context, runtime wazero.Runtime, _ wazero.CompiledModule) error {
	builder := runtime.NewHostModuleBuilder(hostModule)
	export := func(name string, f api.GoModuleFunc, params, results int) {
		builder.NewFunctionBuilder().WithGoModuleFunction(f, i32s(params), i32s(results)).Export(name)
	}
	export("opa_abort", hostAbort, 1, 0)
	export("opa_println", hostPrint, 1, 0)
	for n := range maxArity + 1 {
		export(fmt.Sprintf("opa_builtin%d", n), hostBuiltin(n), n+2, 1)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("provide %s: %w", hostModule, err)
	}
	return nil
}

// convention is what a policy expects that has this entrypoint.
func (p *protocol) convention(entrypoint string) Convention {
	switch {
	case p.options.Convention != "":
		return p.options.Convention
	case strings.HasSuffix("/"+entrypoint, "/violation"):
		return Gatekeeper
	}
	return OPA
}
