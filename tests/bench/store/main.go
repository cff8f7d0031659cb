// Command store measures the SQLite store by itself: commits per second at several numbers of writers, reads of many
// items, memory and the time to open. It prints, beside these, how long this machine takes to bring a write to stable
// storage, because that bounds what a durable store can do.
//
//	go run ./tests/bench/store -dir /var/tmp
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"text/tabwriter"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "store benchmark:", err)
		os.Exit(1)
	}
}

func run() error {
	var p plan
	dir := flag.String("dir", "", "directory on the file system to measure; default: the system's temporary directory")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the commits to this file")
	flag.DurationVar(&p.duration, "duration", 3*time.Second, "how long to commit with each number of writers")
	flag.IntVar(&p.valueBytes, "value", 2048, "bytes of a value")
	flag.IntVar(&p.keys, "keys", 5000, "how many keys are written")
	flag.Parse()

	var err error
	if p.dir, err = os.MkdirTemp(*dir, "gatehouse-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(p.dir)
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return p.report(context.Background(), tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight))
}

// report measures and prints, a table at a time.
func (p *plan) report(ctx context.Context, out *tabwriter.Writer) error {
	sync, err := measureSync(filepath.Join(p.dir, "sync"))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "fdatasync of 8 KiB: median %s\n", sync.Round(time.Microsecond))
	fmt.Fprintf(out, "values of %d bytes, %d keys\n\n", p.valueBytes, p.keys)
	fmt.Fprintf(out, "writes\twriters\tcommits/s\tmedian\t99 %%\tslowest\tCPU/commit\t\n")
	for _, w := range workloads {
		for _, writers := range []int{1, 16, 64} {
			r, err := p.commits(ctx, w, writers)
			if err != nil {
				return fmt.Errorf("%s with %d writers: %w", w.name, writers, err)
			}
			fmt.Fprintf(out, "%s\t%d\t%.0f\t%s\t%s\t%s\t%s\t\n", w.name, writers, r.perSecond,
				brief(r.median), brief(r.p99), brief(r.slowest), brief(r.cpu))
		}
	}
	fmt.Fprintln(out)
	if err := out.Flush(); err != nil {
		return err
	}
	if err := p.reportReads(ctx, out); err != nil {
		return err
	}
	return out.Flush()
}

func (p *plan) reportReads(ctx context.Context, out *tabwriter.Writer) error {
	r, err := p.reads(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "open a database of %d items of 4 KiB (%d MiB)\t%s\t\n", readItems, r.fileBytes>>20, brief(r.open))
	fmt.Fprintf(out, "open it after kill -9 (%d MiB of WAL)\t%s\t\n", r.walBytes>>20, brief(r.recover))
	fmt.Fprintf(out, "range of all items\t%s\t\n", brief(r.all))
	fmt.Fprintf(out, "range of all items 1000 revisions ago\t%s\t\n", brief(r.past))
	fmt.Fprintf(out, "range of one\t%s\t\n", brief(r.one))
	fmt.Fprintf(out, "anonymous memory before opening\t%.1f MiB\t\n", mib(r.memoryBefore))
	fmt.Fprintf(out, "anonymous memory with the store open and idle\t%.1f MiB\t\n", mib(r.memoryOpen))
	fmt.Fprintf(out, "anonymous memory after the reads\t%.1f MiB\t\n", mib(r.memoryUsed))
	return nil
}

func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(100 * time.Nanosecond).String()
	case d < 100*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
