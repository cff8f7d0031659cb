package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"k8s.io/client-go/rest"

	"gatehouse/tests/harness"
)

// requests measures pod creates over HTTPS, and then reads of those pods by a user of each kind.
func requests(ctx context.Context, p plan, table *tabwriter.Writer) error {
	process, err := start(ctx, p)
	if err != nil {
		return err
	}
	administrator, err := process.ClientConfig()
	if err != nil {
		return err
	}
	if err := creates(ctx, p, table, process, administrator); err != nil {
		return err
	}
	reader, err := newReader(ctx, administrator)
	if err != nil {
		return err
	}
	for _, user := range []struct {
		name   string
		config *rest.Config
	}{
		{"administrator with a certificate", administrator},
		{"service account with a token, let by RBAC", reader},
	} {
		name := fmt.Sprintf("pod gets, %s", user.name)
		if err := measure(table, name, process, func() ([]time.Duration, error) {
			return repeat(ctx, user.config, p.clients, p.gets, getPod)
		}); err != nil {
			return err
		}
	}
	return process.Stop()
}

func creates(ctx context.Context, p plan, table *tabwriter.Writer, process *harness.Process, administrator *rest.Config) error {
	profiled := make(chan error, 1)
	go func() { profiled <- profile(ctx, administrator, p) }()
	if err := measure(table, "pod creates", process, func() ([]time.Duration, error) {
		return repeat(ctx, administrator, p.clients, p.creates, createPod)
	}); err != nil {
		return err
	}
	used, err := readMemory(process.PID())
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "memory after that\t%.1f MB anonymous\t%.1f MB resident\n", used.anonymous, used.resident)
	return <-profiled
}

// measure prints how many requests were answered, how fast, and what they cost the server.
func measure(table *tabwriter.Writer, name string, process *harness.Process, run func() ([]time.Duration, error)) error {
	began := time.Now()
	before, err := readCPU(process.PID())
	if err != nil {
		return err
	}
	latencies, err := run()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	took := time.Since(began)
	after, err := readCPU(process.PID())
	if err != nil {
		return err
	}
	slices.Sort(latencies)
	count := len(latencies)
	fmt.Fprintf(table, "%s\t%d\t%.0f /s\t%.0f µs CPU each\tp50 %.1f ms, p99 %.1f ms\n",
		name, count, float64(count)/took.Seconds(), (after-before).Seconds()*1e6/float64(count),
		latencies[count/2].Seconds()*1000, latencies[count*99/100].Seconds()*1000)
	return nil
}
