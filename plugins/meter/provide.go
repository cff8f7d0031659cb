package meter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Slice is how much fuel a guest gets at a time. It is a compromise: the guest leaves to Go once in a slice, which costs a tenth
// of a microsecond, and Go cannot stop it in between. Tight loops take some ten microseconds for a slice, most code a tenth of
// a millisecond, and code that does nothing but miss all caches two.
const Slice = 200_000

var (
	// ErrOverdue ends a guest's call at the deadline of its context.
	ErrOverdue = errors.New("the deadline has passed")
	// ErrStackOverflow ends a guest's call when calls in it nest too deeply.
	ErrStackOverflow = errors.New("stack overflow: calls nest too deeply")
)

// Provide makes the host's part of metering available to the rewritten modules of a runtime. A call of such a module's function
// ends with ErrOverdue soon after the deadline of the context it is given, or after its cancellation. An instance whose call
// has ended with any error must not be used again, for its stack counter is off.
func Provide(ctx context.Context, runtime wazero.Runtime) error {
	i32 := []api.ValueType{api.ValueTypeI32}
	_, err := runtime.NewHostModuleBuilder(ImportModule).
		NewFunctionBuilder().WithGoFunction(api.GoFunc(Refill), i32, i32).Export(ImportName).
		Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("provide %s: %w", ImportModule, err)
	}
	return nil
}

// Refill is the function that Provide provides, for those who want to watch it at work. It gives a guest fuel, unless its time
// or its stack is used up: then it panics with one of the errors above, as a host function does to end a call. To be called at
// all is what lets the Go runtime in.
func Refill(ctx context.Context, stack []uint64) {
	if int32(stack[0]) < 0 {
		panic(ErrStackOverflow)
	}
	// Timers may be late when every processor runs a guest; the clock is not.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		panic(ErrOverdue)
	}
	if ctx.Err() != nil {
		panic(ErrOverdue)
	}
	stack[0] = Slice
}
