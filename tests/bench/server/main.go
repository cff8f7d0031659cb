// Command server measures a whole server from outside, as a user would run it: how soon it answers, what memory it holds when
// nobody asks anything, and how fast it creates pods over HTTPS. It prints a table.
//
//	go run ./tests/bench/server
//	go run ./tests/bench/server -binary ./gatehouse -idle 5s -creates 10s
//
// The clients run in this process; only the server's CPU is counted. Linux only: it reads /proc.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"gatehouse/tests/harness"
)

// plan is what is measured, and for how long.
type plan struct {
	options harness.Options
	starts  int
	idle    time.Duration
	creates time.Duration
	clients int
	profile string
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "server benchmark:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var p plan
	flag.StringVar(&p.options.Binary, "binary", "", "server to measure; default: one built from this tree")
	flag.IntVar(&p.starts, "starts", 7, "how often to start on the existing data directory")
	flag.DurationVar(&p.idle, "idle", 30*time.Second, "how long to leave the server alone before its memory is read")
	flag.DurationVar(&p.creates, "creates", 20*time.Second, "how long to create pods")
	flag.IntVar(&p.clients, "clients", 16, "how many clients create pods, each on a connection of its own")
	flag.StringVar(&p.profile, "profile", "", "file for a CPU profile of the server while it creates pods, if it offers one")
	flag.Parse()

	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p.options.DataDir = dir

	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	for _, measure := range []func(context.Context, plan, *tabwriter.Writer) error{starts, idle, creates} {
		if err := measure(ctx, p, table); err != nil {
			return err
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// start runs a server until it is ready.
func start(ctx context.Context, p plan) (*harness.Process, error) {
	process, err := harness.Launch(ctx, p.options)
	if err != nil {
		return nil, err
	}
	if err := process.WaitReady(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, process.Log())
	}
	return process, nil
}

// idle measures the memory of a server that nobody talks to.
func idle(ctx context.Context, p plan, table *tabwriter.Writer) error {
	process, err := start(ctx, p)
	if err != nil {
		return err
	}
	time.Sleep(p.idle)
	used, err := readMemory(process.PID())
	if err != nil {
		return err
	}
	before, err := readCPU(process.PID())
	if err != nil {
		return err
	}
	time.Sleep(p.idle / 3)
	after, err := readCPU(process.PID())
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "memory idle after %s\t%.1f MB anonymous\t%.1f MB resident\n", p.idle, used.anonymous, used.resident)
	fmt.Fprintf(table, "CPU idle\t%.2f %%\tof one core, over %s\n", 100*float64(after-before)/float64(p.idle/3), p.idle/3)
	return process.Stop()
}

// creates measures pod creates over HTTPS.
func creates(ctx context.Context, p plan, table *tabwriter.Writer) error {
	process, err := start(ctx, p)
	if err != nil {
		return err
	}
	before, err := readCPU(process.PID())
	if err != nil {
		return err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- profile(ctx, process, p) }()
	began := time.Now()
	latencies, err := createPods(ctx, process, p.clients, p.creates)
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := readCPU(process.PID())
	if err != nil {
		return err
	}
	used, err := readMemory(process.PID())
	if err != nil {
		return err
	}
	slices.Sort(latencies)
	count := len(latencies)
	fmt.Fprintf(table, "pod creates, %d HTTPS clients\t%.0f /s\t%.2f ms CPU each\tp50 %.1f ms, p99 %.1f ms\n",
		p.clients, float64(count)/took.Seconds(), (after-before).Seconds()*1000/float64(count),
		latencies[count/2].Seconds()*1000, latencies[count*99/100].Seconds()*1000)
	fmt.Fprintf(table, "memory after %d creates\t%.1f MB anonymous\t%.1f MB resident\n", count, used.anonymous, used.resident)
	if err := <-profiled; err != nil {
		return err
	}
	return process.Stop()
}
