package meter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/meter"
	"gatehouse/plugins/meter/metertest"
)

// start runs a module as it is, with a host that gives fuel as provide says.
func start(t *testing.T, wasm []byte, provide provider) api.Module {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(1024))
	t.Cleanup(func() { _ = r.Close(ctx) })
	if err := provide(ctx, r); err != nil {
		t.Fatal(err)
	}
	module, err := r.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func rewrite(t *testing.T, wasm []byte) []byte {
	t.Helper()
	before := bytes.Clone(wasm)
	rewritten, err := meter.Rewrite(wasm)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(wasm, before) {
		t.Error("Rewrite has changed its input")
	}
	return rewritten
}

// patience gives fuel a number of times and then stops the guest, as a deadline would.
func patience(slices int) provider {
	return func(ctx context.Context, r wazero.Runtime) error {
		refill := func(ctx context.Context, stack []uint64) {
			if slices--; slices < 0 {
				panic(meter.ErrOverdue)
			}
			meter.Refill(ctx, stack)
		}
		i32 := []api.ValueType{api.ValueTypeI32}
		_, err := r.NewHostModuleBuilder(meter.ImportModule).
			NewFunctionBuilder().WithGoFunction(api.GoFunc(refill), i32, i32).Export(meter.ImportName).
			Instantiate(ctx)
		return err
	}
}

func TestEveryEndlessGuestAsksForFuelAgainAndAgain(t *testing.T) {
	wasm := rewrite(t, metertest.Endless())
	for _, function := range metertest.EndlessFunctions() {
		t.Run(function, func(t *testing.T) {
			_, err := start(t, wasm, patience(20)).ExportedFunction(function).Call(context.Background())
			if !errors.Is(err, meter.ErrOverdue) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestARunawayRecursionEndsWithinMegabytes(t *testing.T) {
	wasm := rewrite(t, metertest.Endless())
	for _, function := range metertest.RecursiveFunctions() {
		t.Run(function, func(t *testing.T) {
			module := start(t, wasm, meter.Provide)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := module.ExportedFunction(function).Call(context.Background())
			runtime.ReadMemStats(&after)
			if !errors.Is(err, meter.ErrStackOverflow) {
				t.Errorf("it ended with %v", err)
			}
			// The stack doubles, so that all of its sizes are in the sum; without a limit the sum is 168 MB.
			if took := after.TotalAlloc - before.TotalAlloc; took > 20<<20 {
				t.Errorf("it took %d bytes", took)
			}
		})
	}
}

func TestAGuestIsStoppedAtItsContextsEnd(t *testing.T) {
	past, stop := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer stop()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for name, ctx := range map[string]context.Context{"past its deadline": past, "cancelled": gone} {
		module := start(t, rewrite(t, metertest.Endless()), meter.Provide)
		if _, err := module.ExportedFunction("loop").Call(ctx); !errors.Is(err, meter.ErrOverdue) {
			t.Errorf("%s: it ended with %v", name, err)
		}
	}
}

func TestWorkGivesTheSameResults(t *testing.T) {
	plain := start(t, metertest.Work(), meter.Provide)
	metered := start(t, rewrite(t, metertest.Work()), meter.Provide)
	for _, function := range metertest.WorkFunctions() {
		for _, rounds := range []uint64{1, 2, 77} {
			if diff := cmp.Diff(run(plain, function, rounds), run(metered, function, rounds)); diff != "" {
				t.Errorf("%s(%d): - plain, + metered:\n%s", function, rounds, diff)
			}
		}
	}
}

// run calls a function and tells all there is to see afterwards.
func run(module api.Module, function string, args ...uint64) string {
	results, err := module.ExportedFunction(function).Call(context.Background(), args...)
	if err != nil {
		return outcome(err) + memory(module)
	}
	return fmt.Sprint(results, memory(module))
}

func TestBulkOperationsInPiecesDoWhatTheyDidWhole(t *testing.T) {
	const piece, size = 1 << 20, 4 << 20
	for _, test := range []struct {
		name, function string
		args           []uint64
	}{
		{"nothing is filled", "bulk_fill", []uint64{100, 7, 0}},
		{"nothing is filled at the end of memory", "bulk_fill", []uint64{size, 7, 0}},
		{"a few bytes are filled", "bulk_fill", []uint64{3, 7, 512}},
		{"a few bytes are filled beyond memory", "bulk_fill", []uint64{size - 511, 7, 512}},
		{"more than a few bytes are filled beyond memory", "bulk_fill", []uint64{size - 511, 7, 513}},
		{"a few bytes are copied up by a little", "bulk_copy", []uint64{13, 0, 512}},
		{"a few bytes are copied from beyond memory", "bulk_copy", []uint64{0, size - 511, 512}},
		{"nothing is filled beyond memory", "bulk_fill", []uint64{size + 1, 7, 0}},
		{"one piece is filled", "bulk_fill", []uint64{3, 7, piece}},
		{"a piece and a byte are filled", "bulk_fill", []uint64{3, 7, piece + 1}},
		{"all is filled", "bulk_fill", []uint64{0, 7, size}},
		{"a byte too much is filled", "bulk_fill", []uint64{1, 7, size}},
		{"everything there could be is filled", "bulk_fill", []uint64{1, 7, 0xffffffff}},
		{"the last addresses are filled", "bulk_fill", []uint64{0xffffffff, 7, 2}},
		{"pieces are copied up", "bulk_copy", []uint64{piece*2 + 5, 0, piece + 77}},
		{"pieces are copied down", "bulk_copy", []uint64{0, piece*2 + 5, piece + 77}},
		{"a long span is copied up by a little", "bulk_copy", []uint64{13, 0, 3*piece + 5}},
		{"a long span is copied down by a little", "bulk_copy", []uint64{0, 13, 3*piece + 5}},
		{"a long span is copied onto itself", "bulk_copy", []uint64{13, 13, 3*piece + 5}},
		{"copied from beyond memory", "bulk_copy", []uint64{0, piece, 3*piece + 1}},
		{"copied to beyond memory", "bulk_copy", []uint64{piece, 0, 3*piece + 1}},
		{"copied across the addresses' end", "bulk_copy", []uint64{0xfffffff0, 0, 2 * piece}},
		{"more is copied than there could be", "bulk_copy", []uint64{1, 2, 0xffffffff}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen [2]string
			for i, wasm := range [][]byte{metertest.Work(), rewrite(t, metertest.Work())} {
				module := start(t, wasm, meter.Provide)
				all, _ := module.Memory().Read(0, size)
				for at := range all {
					all[at] = byte(at * 2654435761 >> 13)
				}
				seen[i] = run(module, test.function, test.args...)
			}
			if seen[0] != seen[1] {
				t.Errorf("whole:     %s\nin pieces: %s", seen[0], seen[1])
			}
		})
	}
}

// straight returns a module with one function "f" of n additions and no branch.
func straight(n int) []byte {
	body := append([]byte{0}, bytes.Repeat([]byte{0x20, 0, 0x41, 1, 0x6a, 0x21, 0}, n)...)
	body = append(body, 0x20, 0, 0x0b)
	return module(section(1, num(1), []byte{0x60, 1, 0x7f, 1, 0x7f}), section(3, num(1), num(0)),
		section(7, num(1), num(1), []byte{'f', 0, 0}), section(10, num(1), num(len(body)), body))
}

func TestCodeWithoutLoopsIsCounted(t *testing.T) {
	const n = 20_000
	refills := 0
	got, err := start(t, rewrite(t, straight(n)), slices(5000, &refills)).ExportedFunction("f").Call(context.Background(), 1)
	if err != nil || got[0] != n+1 {
		t.Fatalf("got %v (%v), want %d", got, err, n+1)
	}
	if refills < 2*n/(2*5000) { // an addition and a set are two units
		t.Errorf("%d instructions took %d slices of 5000", 2*n, refills)
	}
}

// slices gives as much fuel as a slice has whenever a guest asks for some, and counts how often it does.
func slices(slice uint64, refills *int) provider {
	return func(ctx context.Context, r wazero.Runtime) error {
		refill := func(_ context.Context, stack []uint64) { *refills++; stack[0] = slice }
		i32 := []api.ValueType{api.ValueTypeI32}
		_, err := r.NewHostModuleBuilder(meter.ImportModule).
			NewFunctionBuilder().WithGoFunction(api.GoFunc(refill), i32, i32).Export(meter.ImportName).Instantiate(ctx)
		return err
	}
}

// fills returns a module with one page of memory, and one function "f" that fills some bytes of it n times; length is the operand
// of i32.const.
func fills(n int, length []byte) []byte {
	one := bytesOf([]byte{0x41, 0, 0x41, 7, 0x41}, length, []byte{0xfc, 11, 0})
	body := bytesOf([]byte{0}, bytes.Repeat(one, n), []byte{0x0b})
	return module(section(1, num(1), []byte{0x60, 0, 0}), section(3, num(1), num(0)), section(5, num(1), []byte{0}, num(1)),
		section(7, num(1), num(1), []byte{'f', 0, 0}), section(10, num(1), num(len(body)), body))
}

func bytesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestFillsOfAKnownLengthAreCounted(t *testing.T) {
	const n, slice, bytesPerUnit = 500, 5000, 16
	for _, test := range []struct {
		name   string
		length []byte
		bytes  int // negative for more than there are
	}{
		{"nothing", []byte{0}, 0},
		{"one", []byte{1}, 1},
		{"one, in more bytes than it takes", []byte{0x81, 0x80, 0}, 1},
		{"a few", []byte{0x80, 0x04}, 512},
		{"more than a few", []byte{0x81, 0x04}, 513},
		{"a thousand", []byte{0xe8, 0x07}, 1000},
		{"a page", []byte{0x80, 0x80, 0x04}, 65536},
		{"more than a page", []byte{0x81, 0x80, 0x04}, -1},
		{"minus one", []byte{0x7f}, -1},
		{"minus one, in five bytes", []byte{0xff, 0xff, 0xff, 0xff, 0x7f}, -1},
		{"two billion", []byte{0x80, 0x80, 0x80, 0x80, 0x78}, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			refills := 0
			module := start(t, rewrite(t, fills(n, test.length)), slices(slice, &refills))
			_, err := module.ExportedFunction("f").Call(context.Background())
			switch {
			case test.bytes < 0 && (err == nil || !strings.Contains(err.Error(), "out of bounds")):
				t.Errorf("got %v, want it to be out of bounds", err)
			case test.bytes >= 0 && err != nil:
				t.Error(err)
			case test.bytes >= 0 && refills < n*test.bytes/bytesPerUnit/(2*slice): // it may be overdrawn
				t.Errorf("%d times %d bytes took %d slices of %d", n, test.bytes, refills, slice)
			}
			if filled, _ := module.Memory().Read(0, 1); test.bytes < 0 && filled[0] != 0 {
				t.Error("what is out of bounds has filled something")
			}
		})
	}
}

func TestStackTracesNameTheRightFunctions(t *testing.T) {
	trap := module(section(1, num(1), []byte{0x60, 0, 0}), section(3, num(2), []byte{0, 0}),
		section(7, num(1), num(1), []byte{'f', 0, 0}),
		section(10, num(2), num(4), []byte{0, 0x10, 1, 0x0b}, num(3), []byte{0, 0, 0x0b}),
		section(0, []byte("\x04name"), []byte{1, 15, 2, 0, 5}, []byte("outer"), []byte{1, 5}, []byte("inner")))
	_, err := start(t, rewrite(t, trap), meter.Provide).ExportedFunction("f").Call(context.Background())
	if err == nil || !strings.Contains(err.Error(), "unreachable\nwasm stack trace:\n\t.inner()\n\t.outer()") {
		t.Errorf("got %v, want a trace of inner and outer", err)
	}
}
