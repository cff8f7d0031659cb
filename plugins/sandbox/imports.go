package sandbox

import (
	"context"
	"log/slog"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// maxName bounds the names and pointers guests hand to host functions.
const maxName = 4096

// instantiateHost provides the host's own functions to the guests of a runtime. A guest that passes a span outside its
// memory is trapped: it is broken, and no answer would reach it.
func instantiateHost(ctx context.Context, runtime wazero.Runtime, operations map[string]Operation) error {
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	builder := runtime.NewHostModuleBuilder(hostModule)
	export := func(name string, f api.GoModuleFunc, params, results []api.ValueType) {
		builder.NewFunctionBuilder().WithGoModuleFunction(f, params, results).Export(name)
	}
	export("log", hostLog, []api.ValueType{i32, i32, i32}, nil)
	export("field", hostField, []api.ValueType{i32, i32, i32, i32}, []api.ValueType{i64})
	export("host_call", hostCall(operations), []api.ValueType{i32, i32, i32, i32, i32, i32}, []api.ValueType{i64})
	export("host_read", hostRead, []api.ValueType{i32, i32}, []api.ValueType{i32})
	_, err := builder.Instantiate(ctx)
	return err
}

// hostLog is log(level, ptr, n).
func hostLog(ctx context.Context, guest api.Module, stack []uint64) {
	in := instanceFrom(ctx)
	text := mustView(guest, spanAt(stack, 1), "log's text")
	in.written.log(logLevel(uint32(stack[0])), text)
}

// logLevel maps the ABI's levels 0 to 3; what is beyond counts as an error.
func logLevel(level uint32) slog.Level {
	switch level {
	case 0:
		return slog.LevelDebug
	case 1:
		return slog.LevelInfo
	case 2:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

// hostField is field(pointer, n, buffer, size).
func hostField(ctx context.Context, guest api.Module, stack []uint64) {
	in := instanceFrom(ctx)
	pointer := mustView(guest, spanAt(stack, 0), "field's pointer")
	stack[0] = in.reply(guest, in.field(pointer), spanAt(stack, 2))
}

func (in *instance) field(pointer []byte) Value {
	if len(pointer) > maxName {
		return failure("the pointer has %d bytes, at most %d are looked up", len(pointer), maxName)
	}
	if in.work.fields == nil {
		return Value{}
	}
	value, err := in.work.fields.Field(string(pointer))
	if err != nil {
		return failure("field %s: %v", printable(pointer, 256), err)
	}
	return value
}

// hostCall is host_call(name, n, payload, n, buffer, size).
func hostCall(operations map[string]Operation) api.GoModuleFunc {
	return func(ctx context.Context, guest api.Module, stack []uint64) {
		in := instanceFrom(ctx)
		name := mustView(guest, spanAt(stack, 0), "host_call's name")
		payload := mustView(guest, spanAt(stack, 2), "host_call's payload")
		stack[0] = in.reply(guest, in.operate(operations, name, payload), spanAt(stack, 4))
	}
}

func (in *instance) operate(operations map[string]Operation, name, payload []byte) Value {
	if len(name) > maxName {
		return failure("the name of the host call has %d bytes, at most %d are looked up", len(name), maxName)
	}
	operation := operations[string(name)]
	if operation == nil {
		return failure("unknown host call %q", printable(name, 64))
	}
	answer, err := operation(in.work.ctx, payload)
	if err != nil {
		return failure("host call %s: %v", name, err)
	}
	return Value{Kind: Object, Text: answer}
}

// hostRead is host_read(buffer, size): the answer that did not fit, once the guest has made room. It returns how many bytes
// it wrote, all or none.
func hostRead(ctx context.Context, guest api.Module, stack []uint64) {
	in := instanceFrom(ctx)
	into := spanAt(stack, 0)
	buffer := mustView(guest, into, "host_read's buffer")
	pending := in.work.pending
	if len(pending) > len(buffer) {
		stack[0] = 0
		return
	}
	in.work.pending = nil
	stack[0] = uint64(copy(buffer, pending))
}

// reply writes a value into the guest's buffer when it fits, and otherwise keeps it for host_read.
func (in *instance) reply(guest api.Module, value Value, into span) uint64 {
	buffer := mustView(guest, into, "the buffer for an answer")
	in.work.pending = nil
	if len(value.Text) <= len(buffer) {
		copy(buffer, value.Text)
	} else {
		in.work.pending = value.Text
	}
	return value.packed()
}

func spanAt(stack []uint64, i int) span {
	return span{ptr: uint32(stack[i]), n: uint32(stack[i+1])}
}

// mustView is view for host functions, which have no other way than a panic to trap their guest; the runtime turns it into
// the error of the guest's call.
func mustView(guest api.Module, s span, what string) []byte {
	data, fault := view(guest.Memory(), s, what)
	if fault != nil {
		panic(fault)
	}
	return data
}
