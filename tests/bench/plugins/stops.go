package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"text/tabwriter"
	"time"

	"gatehouse/plugins/meter"
	"gatehouse/plugins/meter/metertest"
)

// limit is how long guests that never end may run.
const limit = 50 * time.Millisecond

// endless are the functions that are stopped.
func endless() []string {
	return append(metertest.EndlessFunctions(), metertest.RecursiveFunctions()...)
}

// stops measures how guests that never end are ended: how long after their deadline in the worst case, and how much memory
// they made Go allocate, which is their stack and, where it grows, their memory.
func stops(ctx context.Context, p plan, table *tabwriter.Writer) error {
	fmt.Fprintf(table, "ENDLESS GUEST, %s\tRAN FOR AT MOST\tTOO LONG BY\tWANTED\tLONGEST SLICE\tALLOCATED\tENDED BY\n", limit)
	for _, function := range endless() {
		var worst, slice time.Duration
		var allocated uint64
		var cause error
		for range p.rounds {
			took, longest, bytes, err := stop(ctx, function)
			var failure *failedToStart
			if errors.As(err, &failure) {
				return err
			}
			worst, slice, allocated, cause = max(worst, took), max(slice, longest), max(allocated, bytes), err
		}
		line, _, _ := strings.Cut(fmt.Sprint(cause), "\n")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.1f MiB\t%s\n", function, worst.Round(10*time.Microsecond),
			max(0, worst-limit).Round(10*time.Microsecond), atMost(float64(worst-limit), 10*time.Millisecond), slice, float64(allocated)/(1<<20), line)
	}
	return nil
}

// failedToStart is an error of the benchmark, as opposed to a guest's end.
type failedToStart struct{ error }

// stop runs one function to its end in a fresh instance.
func stop(ctx context.Context, function string) (took, slice time.Duration, allocated uint64, err error) {
	g, err := timed().start(ctx, metertest.Endless())
	if err != nil {
		return 0, 0, 0, &failedToStart{err}
	}
	defer g.close(ctx)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add(limit))
	defer cancel()
	_, err = g.module.ExportedFunction(function).Call(ctx)
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return took, g.longest, after.TotalAlloc - before.TotalAlloc, err
}

// stalls measures how long Go's collector waits for a guest to let it stop the world.
func stalls(ctx context.Context, p plan, table *tabwriter.Writer) error {
	fmt.Fprintln(table, "GUEST BESIDE THE COLLECTOR\tCOLLECTIONS\tLONGEST WAIT TO STOP THE WORLD")
	for _, function := range append([]string{"(none)"}, endless()...) {
		count, longest, err := stall(ctx, function, time.Duration(p.rounds)*100*time.Millisecond)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%d\tat most %s\n", function, count, longest)
	}
	return nil
}

// stall collects again and again while a guest runs, until the time is over.
func stall(ctx context.Context, function string, limit time.Duration) (count int, longest time.Duration, err error) {
	g, err := metered().start(ctx, metertest.Endless())
	if err != nil {
		return 0, 0, err
	}
	defer g.close(ctx)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ended := make(chan error, 1)
	if f := g.module.ExportedFunction(function); f != nil {
		go func() {
			_, err := f.Call(ctx)
			ended <- err
		}()
	} else {
		go func() { <-ctx.Done(); ended <- meter.ErrOverdue }()
	}
	before := pauses()
	for {
		select {
		case err := <-ended:
			if !errors.Is(err, meter.ErrOverdue) && !errors.Is(err, meter.ErrStackOverflow) {
				return 0, 0, fmt.Errorf("%s: %w", function, err)
			}
			return count, longestPause(before, pauses()), nil
		default:
			runtime.GC()
			count++
		}
	}
}

// pauses is how often stopping the world has taken how long, in seconds.
func pauses() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(sample)
	h := sample[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: h.Buckets}
}

// longestPause is the upper end of the last bucket that grew.
func longestPause(before, after *metrics.Float64Histogram) time.Duration {
	longest := 0.0
	for i := range after.Counts {
		if after.Counts[i] > before.Counts[i] {
			longest = after.Buckets[i+1]
		}
	}
	return time.Duration(longest * float64(time.Second))
}
