// Package inspect tells what a WebAssembly module is made of, without running any of it.
package inspect

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// What a module exports or imports that is a policy for others' hosts.
const (
	markerPrefix = "gatehouse_abi_v"
	opaExport    = "opa_eval"
	waPCExport   = "__guest_call"
)

// Module is what a module holds.
type Module struct {
	// ABI is how hosts speak with it: gatehouse_abi_v1, "OPA" for compiled Rego, "waPC", or "" if that cannot be told.
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
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCustomSections(true))
	defer runtime.Close(ctx)
	code, err := runtime.CompileModule(ctx, wasm)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("no WebAssembly module: %s", first)
	}
	m := &Module{}
	for name, f := range code.ExportedFunctions() {
		m.Exports = append(m.Exports, name+" "+typeOf(f))
		m.ABI = newerABI(m.ABI, name)
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
	for _, section := range code.CustomSections() {
		if section.Name() == "producers" {
			m.Language = language(section.Data())
		}
	}
	return m, nil
}

// newerABI is the better of an ABI and what an export tells.
func newerABI(known, export string) string {
	switch {
	case strings.HasPrefix(export, markerPrefix):
		if !strings.HasPrefix(known, markerPrefix) || len(export) > len(known) || len(export) == len(known) && export > known {
			return export
		}
	case export == opaExport && known == "":
		return "OPA"
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

// language reads the custom section in which compilers say who they are. Anybody may write there what they like: a section that
// cannot be read tells nothing.
func language(section []byte) string {
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
	n, size := binary.Uvarint(r.rest)
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
