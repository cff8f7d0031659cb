package sandbox

import (
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero/api"
)

// Role is a part a guest can play. It plays the roles whose functions it exports.
type Role string

const (
	// Authenticate says who asks.
	Authenticate Role = "authenticate"
	// Authorize says whether they may.
	Authorize Role = "authorize"
	// Admit says whether what they ask is acceptable.
	Admit Role = "admit"
)

// Names of the ABI; sdk/SPEC.md says what each means.
const (
	hostModule = "gatehouse"
	wasiModule = "wasi_snapshot_preview1"

	markerExport     = "gatehouse_abi_v1"
	markerPrefix     = "gatehouse_abi_v"
	memoryExport     = "memory"
	allocExport      = "alloc"
	configureExport  = "configure"
	byFieldExport    = "admit_by_field"
	initializeExport = "_initialize"
)

// allRoles lists the roles of the ABI in the order in which a request meets them.
func allRoles() []Role { return []Role{Authenticate, Authorize, Admit} }

// signature is a function's type, written as the ABI's specification writes it.
type signature struct{ params, results []api.ValueType }

func markerSignature() signature { return signature{} }
func allocSignature() signature {
	return signature{params: []api.ValueType{api.ValueTypeI32}, results: []api.ValueType{api.ValueTypeI32}}
}
func callSignature() signature {
	return signature{
		params:  []api.ValueType{api.ValueTypeI32, api.ValueTypeI32},
		results: []api.ValueType{api.ValueTypeI64},
	}
}

func signatureOf(f api.FunctionDefinition) signature {
	return signature{params: f.ParamTypes(), results: f.ResultTypes()}
}

func (s signature) equals(f api.FunctionDefinition) bool {
	return slices.Equal(f.ParamTypes(), s.params) && slices.Equal(f.ResultTypes(), s.results)
}

func (s signature) String() string {
	return fmt.Sprintf("(%s) -> (%s)", typeNames(s.params), typeNames(s.results))
}

func typeNames(types []api.ValueType) string {
	var names string
	for i, t := range types {
		if i > 0 {
			names += ", "
		}
		names += api.ValueTypeName(t)
	}
	return names
}

// span is a piece of a guest's memory.
type span struct{ ptr, n uint32 }

// unpack reads the i64 a guest's function returns: pointer in the high half, length in the low one.
func unpack(packed uint64) span { return span{ptr: uint32(packed >> 32), n: uint32(packed)} }

// view returns the guest's bytes at s, or a fault that names what the span was meant to be. The bytes are the guest's own:
// they change under the caller's hands as soon as the guest runs again.
func view(memory api.Memory, s span, what string) ([]byte, *Fault) {
	data, ok := memory.Read(s.ptr, s.n)
	if !ok {
		return nil, faultf(Misaddressed, "%s at %d+%d lies outside the guest's memory of %d bytes",
			what, s.ptr, s.n, memory.Size())
	}
	return data, nil
}

// Kind is the JSON type of a Value, as the guest sees it in the high half of an answer.
type Kind uint32

const (
	// Absent: there is nothing at the pointer.
	Absent Kind = iota
	// Null: the text is null.
	Null
	// Boolean: the text is true or false.
	Boolean
	// Number: the text is the JSON number.
	Number
	// String: the text is the string itself, without quotes or escapes.
	String
	// Array: the text is JSON.
	Array
	// Object: the text is JSON.
	Object
	// Failure: the text says why there is no answer.
	Failure
)

// Value is what a host function answers a guest.
type Value struct {
	Kind Kind
	Text []byte
}

// packed is the i64 that tells a guest what awaits it.
func (v Value) packed() uint64 { return uint64(v.Kind)<<32 | uint64(uint32(len(v.Text))) }

func failure(format string, args ...any) Value {
	return Value{Kind: Failure, Text: fmt.Appendf(nil, format, args...)}
}
