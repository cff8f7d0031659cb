package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"gatehouse/plugins/linear"
	"gatehouse/plugins/meter"
)

// pages is how much memory guests may have: 64 MiB, as by default.
const pages = 1024

// mode is a way to run a guest.
type mode struct {
	name    string
	metered bool
	// watched is the runtime's own way to stop guests.
	watched bool
	// timed says to time slices, which costs more than a pause does.
	timed bool
}

func plain() mode   { return mode{name: "plain"} }
func watched() mode { return mode{name: "watched", watched: true} }
func metered() mode { return mode{name: "metered", metered: true} }
func timed() mode   { return mode{name: "timed", metered: true, timed: true} }

// guest is a module made ready to be called.
type guest struct {
	runtime wazero.Runtime
	module  api.Module
	// compiling is how long rewriting and compiling the module took.
	compiling time.Duration
	// paused is when the guest last asked for fuel, longest how long it took between two times.
	paused, longest time.Duration
}

// provide is meter.Provide, but for taking the time between two looks at the deadline.
func (g *guest) provide(ctx context.Context, runtime wazero.Runtime) error {
	refill := func(ctx context.Context, stack []uint64) {
		now := threadTime()
		if g.paused > 0 {
			g.longest = max(g.longest, now-g.paused)
		}
		meter.Refill(ctx, stack)
		g.paused = threadTime()
	}
	i32 := []api.ValueType{api.ValueTypeI32}
	_, err := runtime.NewHostModuleBuilder(meter.ImportModule).
		NewFunctionBuilder().WithGoFunction(api.GoFunc(refill), i32, i32).Export(meter.ImportName).
		Instantiate(ctx)
	return err
}

func (m mode) start(ctx context.Context, wasm []byte) (*guest, error) {
	g := &guest{}
	config := wazero.NewRuntimeConfig().WithCloseOnContextDone(m.watched).WithMemoryLimitPages(pages)
	g.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	provide := meter.Provide
	if m.timed {
		provide = g.provide
	}
	if err := provide(ctx, g.runtime); err != nil {
		return nil, err
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, g.runtime); err != nil {
		return nil, err
	}
	began := threadTime()
	if m.metered {
		var err error
		if wasm, err = meter.Rewrite(wasm); err != nil {
			return nil, err
		}
	}
	code, err := g.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, err
	}
	g.compiling = threadTime() - began
	g.module, err = g.runtime.InstantiateModule(linear.With(ctx, new(atomic.Int64)), code, wazero.NewModuleConfig().WithStartFunctions("_initialize").
		WithSysWalltime().WithSysNanotime())
	return g, err
}

func (g *guest) close(ctx context.Context) {
	_ = g.runtime.Close(ctx) // frees memory, reports nothing of use
}

// time calls a function with a number of rounds and returns how long it took.
func (g *guest) time(ctx context.Context, function string, rounds uint64) (time.Duration, error) {
	began := threadTime()
	_, err := g.call(ctx, function, rounds)
	return threadTime() - began, err
}

// call calls a function with a number of rounds and returns its result.
func (g *guest) call(ctx context.Context, function string, rounds uint64) (uint64, error) {
	results, err := g.module.ExportedFunction(function).Call(ctx, rounds)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", function, err)
	}
	return results[0], nil
}

// buildGo compiles the guest that is written in Go.
func buildGo() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "gatehouse/tests/bench/plugins/testdata/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if message, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the Go guest: %w\n%s", err, message)
	}
	return os.ReadFile(out)
}
