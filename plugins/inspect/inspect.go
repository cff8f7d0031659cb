// Package inspect tells what a WebAssembly module is made of, without running any of it.
package inspect

import (
	"context"
	encoding "encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/kubewarden"
)

// What a module exports or imports that is a policy for others' hosts.
const (
	markerPrefix = "gatehouse_abi_v"
	opaExport    = "opa_eval"
	waPCExport   = "__guest_call"
	// wasiCommand is the ABI of policies that are commands: each call runs the module from its start to its end.
	wasiCommand = "WASI"
	// producersSection is where compilers say who they are.
	producersSection = "producers"
)

// Module is what a module holds.
type Module struct {
	// ABI is how hosts speak with it: gatehouse_abi_v1, "Rego" for compiled Rego, "waPC", "WASI" for a policy that is a command, or "" if that cannot be told.
	ABI string
	// Language is what the module's compilers say of it, such as "Go go1.26.1"; "" if they say nothing.
	Language string
	// Exports and Imports are functions with their types, in alphabetical order.
	Exports, Imports []string
	// Memory is what it has at the start, in bytes.
	Memory int64
}

// Read takes a module apart. Cancelling ctx gives up. The error says why it is no module.
func Read(ctx context.Context, wasm []byte) (*Module, error) {
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer runtime.Close(ctx)
	code, err := runtime.CompileModule(ctx, wasm)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("no WebAssembly module: %s", first)
	}
	m := &Module{}
	m.ABI, m.Language = Nature(wasm)
	for name, f := range code.ExportedFunctions() {
		m.Exports = append(m.Exports, name+" "+typeOf(f))
	}
	for _, f := range code.ImportedFunctions() {
		module, name, _ := f.Import()
		m.Imports = append(m.Imports, module+"."+name+" "+typeOf(f))
	}
	slices.Sort(m.Exports)
	slices.Sort(m.Imports)
	const page = 64 << 10
	for _, memory := range code.ExportedMemories() {
		m.Memory = int64(memory.Min()) * page
	}
	return m, nil
}

// Nature tells the ABI and the language of a module as Read does, from its bytes alone: nothing is compiled, so it is good for modules that
// would not compile. Both are empty for what is no module.
func Nature(wasm []byte) (abi, language string) {
	outline, err := binary.Read(wasm)
	if err != nil {
		return "", ""
	}
	for _, export := range outline.Exports {
		if export.Kind == binary.Function {
			abi = newerABI(abi, export.Name)
		}
	}
	if abi == "" && kubewarden.Detect(outline) {
		abi = wasiCommand
	}
	if section, ok := outline.Custom(producersSection); ok {
		language = languageOf(section)
	}
	return abi, language
}

// newerABI is the better of an ABI and what an export tells.
func newerABI(known, export string) string {
	switch {
	case strings.HasPrefix(export, markerPrefix):
		if !strings.HasPrefix(known, markerPrefix) || len(export) > len(known) || len(export) == len(known) && export > known {
			return export
		}
	case export == opaExport && known == "":
		return "Rego"
	case export == waPCExport && known == "":
		return "waPC"
	}
	return known
}

// typeOf writes a function's type as the ABI's specification does.
func typeOf(f api.FunctionDefinition) string {
	return fmt.Sprintf("(%s) -> (%s)", names(f.ParamTypes()), names(f.ResultTypes()))
}

func names(types []api.ValueType) string {
	all := make([]string, len(types))
	for i, t := range types {
		all[i] = api.ValueTypeName(t)
	}
	return strings.Join(all, ", ")
}

// languageOf reads the custom section in which compilers say who they are. Anybody may write there what they like: a section that
// cannot be read tells nothing.
func languageOf(section []byte) string {
	r := &reader{rest: section}
	for range r.number() {
		field := r.text()
		var values []string
		for range r.number() {
			name, version := r.text(), r.text()
			if r.err != nil {
				return ""
			}
			values = append(values, strings.TrimSpace(name+" "+version))
		}
		if field == "language" {
			return printable(strings.Join(values, ", "))
		}
	}
	return ""
}

// printable keeps control characters off a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, text)
}

// reader reads a section until its first error, and zeros from then on.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) number() uint64 {
	n, size := encoding.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)) {
		r.rest, r.err = nil, errors.New("no number")
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.rest, r.err = nil, errors.New("no text")
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}
