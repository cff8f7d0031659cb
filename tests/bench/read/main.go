// Command read measures reads: what GET, LIST and WATCH cost when they are answered from the cache, and what they cost when
// upstream's handlers answer them, on the same data in the same run. Both are served over HTTPS, and the clients run in a
// process of their own, so that the figures are the server's CPU time alone. Authentication and authorization are left out.
//
//	go run ./tests/bench/read -pods 5000
//	go run ./tests/bench/read -memory 5000,50000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/klog/v2"
)

// plan is what to measure.
type plan struct {
	dir      string
	pods     int
	repeat   int
	watchers int
	changes  int
	// rates are of changes, streams how many watches are on a connection: all combinations are measured.
	rates, streams []int
	// cacheOnly leaves upstream's side out.
	cacheOnly bool
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "read benchmark:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var p plan
	client := flag.Bool("client", false, "be the clients: the command starts itself so")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.BoolVar(&p.cacheOnly, "cache-only", false, "measure no upstream handler, say for a profile")
	only := flag.String("only", "", "measure only what has this in its name")
	flag.StringVar(&p.dir, "dir", "", "directory to work in; default: the system's temporary directory")
	flag.IntVar(&p.pods, "pods", 5000, "how many pods there are")
	flag.IntVar(&p.repeat, "repeat", 20, "how many times each list is read")
	flag.IntVar(&p.watchers, "watchers", 500, "how many watch")
	flag.IntVar(&p.changes, "changes", 200, "how many changes are watched")
	rates := flag.String("rates", "20,50,100,200,0", "how many changes there are a second, one measurement each; 0 is as many as possible")
	streams := flag.String("streams", "1,100", "how many watches are on a connection, one measurement each")
	memory := flag.String("memory", "", "measure memory instead, of servers with so many pods: 5000,50000")
	binary := flag.String("binary", "", "server whose memory is measured; default: one built from this tree")
	watches := flag.Int("watches", 10000, "how many watches there are when memory is measured")
	controllers := flag.String("controllers", "*", "which controllers run in the server whose memory is measured, as its flag of that name says")
	flag.Parse()
	if *client {
		return serveJobs(os.Stdin, os.Stdout)
	}
	if p.rates, err = parseNumbers(*rates); err != nil {
		return fmt.Errorf("-rates: %w", err)
	}
	if p.streams, err = parseNumbers(*streams); err != nil {
		return fmt.Errorf("-streams: %w", err)
	}
	if p.dir, err = os.MkdirTemp(p.dir, "gatehouse-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(p.dir)
	klog.LogToStderr(false) // upstream's parts talk of what they miss here
	klog.SetOutput(io.Discard)
	ctx := context.Background()
	if *memory != "" {
		counts, err := parseNumbers(*memory)
		if err != nil {
			return err
		}
		return reportMemory(ctx, memoryPlan{
			dir: p.dir, binary: *binary, flags: []string{"--controllers=" + *controllers}, pods: counts, watches: *watches,
		})
	}
	server, err := newTarget(ctx, p.dir, p.pods)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	clients, err := startClients()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clients.close()) }()
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
	return p.report(ctx, server, clients, *only)
}

// workload is one kind of read.
type workload struct {
	name, path, accept string
	// requests is how many make one measurement, together clients times.
	requests, together int
}

const (
	acceptJSON     = "application/json"
	acceptProtobuf = "application/vnd.kubernetes.protobuf"
	acceptTable    = ";as=Table;g=meta.k8s.io;v=v1"
	acceptMetadata = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

func (p *plan) workloads() []workload {
	const one, all = "/api/v1/namespaces/bench/pods/pod-00007", "/api/v1/pods"
	return []workload{
		{"GET, JSON", one, acceptJSON, 10000, 16},
		{"GET, protobuf", one, acceptProtobuf, 10000, 16},
		{"LIST, JSON", all, acceptJSON, p.repeat, 1},
		{"LIST, protobuf", all, acceptProtobuf, p.repeat, 1},
		{"LIST, metadata in JSON", all, acceptJSON + acceptMetadata, p.repeat, 1},
		{"LIST, metadata in protobuf", all, acceptProtobuf + acceptMetadata, p.repeat, 1},
		{"LIST, table", all, acceptJSON + acceptTable, p.repeat, 1},
		{"LIST by label, JSON", all + "?labelSelector=app%3Dapp-7", acceptJSON, 4 * p.repeat, 1},
		{"LIST by node, JSON", all + "?fieldSelector=spec.nodeName%3Dnode-7", acceptJSON, 4 * p.repeat, 1},
		{"LIST of 500, JSON", all + "?limit=500", acceptJSON, 4 * p.repeat, 1},
	}
}

// report measures and prints, a line at a time: both sides, and how many times as much upstream's takes.
func (p *plan) report(ctx context.Context, server *target, clients *clients, only string) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%d pods, %d bytes each in JSON\n\n", p.pods, server.podBytes)
	fmt.Fprintf(out, "server CPU\tupstream's handler\tfrom the cache\tratio\tbytes\t\n")
	for _, w := range p.workloads() {
		if !strings.Contains(w.name, only) {
			continue
		}
		err := p.line(out, w.name, server, func(url string) (time.Duration, int64, error) { return w.measure(url, clients) })
		if err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil || !strings.Contains("WATCH", only) {
		return err
	}
	return p.reportWatches(ctx, server, clients)
}

// line measures both sides and prints them.
func (p *plan) line(out io.Writer, name string, server *target, measure func(url string) (time.Duration, int64, error)) error {
	var handled time.Duration
	var err error
	if !p.cacheOnly {
		if handled, _, err = measure(server.handled.URL); err != nil {
			return fmt.Errorf("%s by upstream's handler: %w", name, err)
		}
	}
	cached, bytes, err := measure(server.cached.URL)
	if err != nil {
		return fmt.Errorf("%s from the cache: %w", name, err)
	}
	_, err = fmt.Fprintf(out, "%s\t%s\t%s\t%.1f\t%d\t\n", name, brief(handled), brief(cached), float64(handled)/float64(cached), bytes)
	return err
}

// measure is the server's CPU time for one request, once everything is warm.
func (w workload) measure(url string, clients *clients) (cpu time.Duration, bytes int64, err error) {
	warm := job{URL: url + w.path, Accept: w.accept, Requests: w.together, Together: w.together}
	if _, err := clients.do(warm); err != nil {
		return 0, 0, err
	}
	measured := warm
	measured.Requests = w.requests
	before, err := processCPU()
	if err != nil {
		return 0, 0, err
	}
	done, err := clients.do(measured)
	if err != nil {
		return 0, 0, err
	}
	after, err := processCPU()
	return (after - before) / time.Duration(w.requests), done.Bytes / int64(w.requests), err
}

func brief(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return d.Round(100 * time.Nanosecond).String()
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
