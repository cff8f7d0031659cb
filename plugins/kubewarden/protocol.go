package kubewarden

import (
	"context"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/sandbox"
)

// Options say what a policy can have.
type Options struct {
	// Operations are those that a native guest would have of host_call: a policy's host calls are translated into them. What is not
	// there is denied.
	Operations map[string]sandbox.Operation
}

const (
	wapcHostModule = "wapc"
	wasiHostModule = "host"

	guestCallExport = "__guest_call"
	startExport     = "_start"
)

// New makes the protocol for a policy that Detect knows. The error is one in its metadata.
func New(m *binary.Module, options Options) (sandbox.Protocol, error) {
	metadata, err := ReadMetadata(m)
	if err != nil {
		return nil, sandbox.Faultf(sandbox.Rejected, "%v", err)
	}
	caller := caller{operations: options.Operations}
	if modeOf(m) == WASI {
		return wasi{caller: caller, metadata: metadata}, nil
	}
	return wapc{caller: caller, metadata: metadata}, nil
}

// checkFunction finds an exported function of the type that the protocol gives it.
func checkFunction(code wazero.CompiledModule, name string, params, results int) error {
	f := code.ExportedFunctions()[name]
	if f == nil {
		return sandbox.Faultf(sandbox.Rejected, "does not export the function %q", name)
	}
	if !slices.Equal(f.ParamTypes(), i32s(params)) || !slices.Equal(f.ResultTypes(), i32s(results)) {
		return sandbox.Faultf(sandbox.Rejected, "exports %q with another type than Kubewarden's policies do", name)
	}
	return nil
}

func i32s(n int) []api.ValueType { return slices.Repeat([]api.ValueType{api.ValueTypeI32}, n) }

// link provides functions of which all parameters and results are i32.
func link(ctx context.Context, runtime wazero.Runtime, module string, functions []function) error {
	builder := runtime.NewHostModuleBuilder(module)
	for _, f := range functions {
		builder.NewFunctionBuilder().WithGoModuleFunction(f.call, i32s(f.params), i32s(f.results)).Export(f.name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("provide %s: %w", module, err)
	}
	return nil
}

type function struct {
	name            string
	params, results int
	call            api.GoModuleFunc
}

// textAt is the text that a guest passes as the pointer and length on its stack at i. The bytes are the guest's.
func textAt(module api.Module, stack []uint64, i int, what string) []byte {
	return sandbox.MustView(module.Memory(), uint32(stack[i]), uint32(stack[i+1]), what)
}

// put copies text to where the guest has made room for it.
func put(module api.Module, at uint64, text []byte, what string) {
	copy(sandbox.MustView(module.Memory(), uint32(at), uint32(len(text)), what), text)
}
