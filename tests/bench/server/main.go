// Command server measures a whole server from outside, as a user would run it: how soon it answers, what memory it holds when
// nobody asks anything, and how fast it creates and reads pods over HTTPS, through all gates. It prints a table.
//
//	go run ./tests/bench/server
//	go run ./tests/bench/server -binary ./gatehouse -idle 5s -creates 10s
//	go run ./tests/bench/server -controllers external   # what is left without the controllers in process
//
// The clients run in this process; only the server's CPU is counted. Linux only: it reads /proc.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
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
	gets    time.Duration
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
	flag.Func("controllers", "which controllers run in the server, as its flag of that name says; default: all", func(names string) error {
		p.options.Flags = append(p.options.Flags, "--controllers="+names)
		return nil
	})
	flag.DurationVar(&p.idle, "idle", 30*time.Second, "how long to leave the server alone before its memory is read")
	flag.DurationVar(&p.creates, "creates", 20*time.Second, "how long to create pods")
	flag.DurationVar(&p.gets, "gets", 10*time.Second, "how long each user is to read pods")
	flag.IntVar(&p.clients, "clients", 16, "how many clients ask at the same time, each on a connection of its own")
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
	for _, step := range []func(context.Context, plan, *tabwriter.Writer) error{starts, idle, requests} {
		if err := step(ctx, p, table); err != nil {
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
