package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"text/tabwriter"
)

// callers is how many create Pods while plugins are replaced.
const callers = 2

// holdings is what the process holds, by name.
type holdings map[string]int

// held lists what must not grow with reloads, and by how much it may all the same: Go keeps spare memory and threads of its own.
func held() []struct {
	name  string
	spare int
} {
	return []struct {
		name  string
		spare int
	}{
		{"goroutines", 2}, {"open files", 2}, {"pieces of machine code", 2}, {"mappings", 50}, {"MB of address space", 200},
		{"MB of heap", 8}, {"MB resident", 40}, {"modules in the compile cache", 10},
	}
}

// reloads replaces a plugin again and again while Pods are created, and tells what the process holds more of afterwards than after
// the first tenth.
func reloads(ctx context.Context, p plan, table *tabwriter.Writer) error {
	f, err := openFolder(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.put("guest.yaml", []byte(everywhere)); err != nil {
		return err
	}
	if err := f.replace(ctx, 0, 1); err != nil {
		return err
	}
	runtime.UnlockOSThread() // the callers want processors
	defer runtime.LockOSThread()
	var first, last holdings
	calls := 0
	for _, part := range []struct {
		from, to int
		into     *holdings
	}{{1, p.reloads / 10, &first}, {p.reloads / 10, p.reloads, &last}} {
		n, err := f.reloadUnderLoad(ctx, part.from, part.to)
		if err != nil {
			return err
		}
		calls += n
		if *part.into, err = f.holds(); err != nil {
			return err
		}
	}
	fmt.Fprintf(table, "%d RELOADS, %d CALLS\tAFTER %d\tAFTER ALL\tWANTED\n", p.reloads, calls, p.reloads/10)
	for _, of := range held() {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", of.name, first[of.name], last[of.name],
			verdict(last[of.name] <= first[of.name]+of.spare, fmt.Sprintf("at most %d more", of.spare)))
	}
	return nil
}

// replace puts versions of the plugin into place, each once the one before it serves.
func (f *folder) replace(ctx context.Context, from, to int) error {
	for i := from; i < to; i++ {
		wasm, err := answersAll(i)
		if err != nil {
			return err
		}
		if err := f.put("guest.wasm", wasm); err != nil {
			return err
		}
		if err := f.Sync(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reloadUnderLoad replaces the plugin while Pods are created, and returns how many were.
func (f *folder) reloadUnderLoad(ctx context.Context, from, to int) (calls int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	var load sync.WaitGroup
	counts := make([]int, callers)
	for i := range callers {
		load.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if warnings, err := f.create(ctx); err != nil || len(warnings) != 1 {
					cancel(fmt.Errorf("a Pod created during a reload was answered with %q, %w", warnings, err))
					return
				}
				counts[i]++
			}
		})
	}
	err = f.replace(ctx, from, to)
	close(done)
	load.Wait()
	for _, n := range counts {
		calls += n
	}
	if failed := context.Cause(ctx); failed != nil {
		return calls, failed
	}
	return calls, err
}

// holds counts what the process holds, once what is no longer used has been given back.
func (f *folder) holds() (holdings, error) {
	for range 3 { // what has a finalizer is free after the next round only
		debug.FreeOSMemory()
	}
	h := holdings{"goroutines": runtime.NumGoroutine()}
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	h["MB of heap"] = int(heap.HeapAlloc / 1e6)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes); err == nil {
			h["MB resident"] = kilobytes / 1000
		}
		if _, err := fmt.Sscanf(line, "VmSize: %d kB", &kilobytes); err == nil {
			h["MB of address space"] = kilobytes / 1000
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(maps) {
		h["mappings"]++
		fields := bytes.Fields(line)
		if len(fields) == 5 && bytes.Contains(fields[1], []byte("x")) { // of no file
			h["pieces of machine code"]++
		}
	}
	for name, dir := range map[string]string{"open files": "/proc/self/fd", "modules in the compile cache": f.cache} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		h[name] = len(entries)
	}
	return h, nil
}
