// Command gates measures what the first two gates add to a request: the CPU time of authentication, by each member that can let
// somebody in, and of authorization, by each member that can decide, apart and in the sum that matters.
//
//	go run ./tests/bench/gates
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"k8s.io/klog/v2"
)

// most is how much CPU time both gates together may add to a request.
const most = 15 * time.Microsecond

// member is one thing to measure.
type member struct {
	name string
	// open makes ready what is measured, and returns what to call: once for each request, by one goroutine.
	open func() (request func() error, err error)
}

// figures are what a call of a member takes.
type figures struct {
	cpu    time.Duration
	allocs uint64
	bytes  uint64
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gates benchmark:", err)
		os.Exit(1)
	}
}

func run() error {
	only := flag.String("only", "", "measure only what has this in its name")
	atLeast := flag.Duration("time", time.Second, "how much CPU time to spend on each")
	flag.Parse()
	klog.LogToStderr(false) // upstream's parts talk of what they miss here
	klog.SetOutput(io.Discard)
	members := slices.Concat(authnMembers(), authzMembers())
	measured := map[string]figures{}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "member\tCPU\tallocations\tbytes\t")
	for _, m := range members {
		if !strings.Contains(m.name, *only) {
			continue
		}
		f, err := m.measure(*atLeast)
		if err != nil {
			return fmt.Errorf("measure %s: %w", m.name, err)
		}
		measured[m.name] = f
		fmt.Fprintf(out, "%s\t%s\t%d\t%d\t\n", m.name, f.cpu, f.allocs, f.bytes)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return sums(measured)
}

// sums prints both gates together for those who ask most, and fails if that is too much.
func sums(measured map[string]figures) error {
	var errs []error
	for _, sum := range [][2]string{{certificateRemembered, rbacAllowed}, {tokenRemembered, rbacAllowed}} {
		first, ok1 := measured[sum[0]]
		second, ok2 := measured[sum[1]]
		if !ok1 || !ok2 {
			continue
		}
		total := first.cpu + second.cpu
		fmt.Printf("%s + %s: %s, at most %s\n", sum[0], sum[1], total, most)
		if total > most {
			errs = append(errs, fmt.Errorf("%s + %s take %s, want at most %s", sum[0], sum[1], total, most))
		}
	}
	return errors.Join(errs...)
}

// measure calls a member until it has taken a CPU time, of which it takes the best of several parts: others use the machine
// too.
func (m member) measure(atLeast time.Duration) (figures, error) {
	request, err := m.open()
	if err != nil {
		return figures{}, err
	}
	if err := request(); err != nil { // what it remembers from then on is measured, not what it takes the first time
		return figures{}, err
	}
	n := 1
	for {
		took, err := repeat(request, n)
		if err != nil {
			return figures{}, err
		}
		if took > atLeast/20 {
			break
		}
		n *= 2
	}
	const parts = 10
	best := figures{cpu: time.Hour}
	for range parts {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		took, err := repeat(request, n)
		if err != nil {
			return figures{}, err
		}
		runtime.ReadMemStats(&after)
		best.cpu = min(best.cpu, took/time.Duration(n))
		best.allocs = (after.Mallocs - before.Mallocs) / uint64(n)
		best.bytes = (after.TotalAlloc - before.TotalAlloc) / uint64(n)
	}
	return best, nil
}

// repeat makes n requests and returns the CPU time of the process meanwhile, its garbage collector's included.
func repeat(request func() error, n int) (time.Duration, error) {
	before, err := used()
	if err != nil {
		return 0, err
	}
	for range n {
		if err := request(); err != nil {
			return 0, err
		}
	}
	after, err := used()
	return after - before, err
}

// used is the CPU time that the process has had.
func used() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read the CPU time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
