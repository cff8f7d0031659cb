// Command plugins measures what metering does to WebAssembly guests, and what it is for, and compares plugins with a webhook. It
// prints a table for each, with what is wanted beside what is measured: how fast guests are plain, with the runtime's own way to
// stop them, and metered; how late guests that never end are stopped, and what memory that takes; how long such a guest makes Go's
// garbage collector wait; what plugins cost a request that does not concern them; how soon a change in the folder takes effect; what
// a thousand reloads under load leave behind; and what the same job adds to the creation of a Pod when a plugin does it, in each
// language, and when a webhook does, over HTTPS on loopback, for one caller and for many at once.
//
//	go run ./tests/bench/plugins
//	go run ./tests/bench/plugins -rounds 9 -time 500ms
//	go run ./tests/bench/plugins -only webhook
//
// It compiles guests written in Go, for which it needs the go command, and in other languages as far as the machine has their
// compilers. Speed and slices are in time of the processor, the best of some rounds for the one and the worst for the other, and
// so is what is called CPU; all else is by the clock, and worse on a machine with other work.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"text/tabwriter"
	"time"
)

// plan is how long is measured.
type plan struct {
	rounds int
	time   time.Duration
	// reloads is how often a plugin is replaced.
	reloads int
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "plugins benchmark:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var p plan
	flag.IntVar(&p.rounds, "rounds", 5, "how often each figure is taken")
	flag.DurationVar(&p.time, "time", 200*time.Millisecond, "how long one round of work takes")
	flag.IntVar(&p.reloads, "reloads", 1000, "how often a plugin is replaced under load")
	only := flag.String("only", "", "print one table only: speed, stops, stalls, bystanders, changes, reloads or webhook")
	hook := flag.Bool("hook", false, "be the webhook: the benchmark runs itself like this")
	flag.Parse()
	if *hook {
		return serveHook(os.Stdin, os.Stdout)
	}

	runtime.LockOSThread() // time is the thread's
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, step := range tables(*only) {
		if err := step(ctx, p, out); err != nil {
			return err
		}
		fmt.Fprintln(out)
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// table prints one of the benchmark's tables.
type table func(context.Context, plan, *tabwriter.Writer) error

// tables are those to print.
func tables(only string) []table {
	switch only {
	case "speed":
		return []table{speed}
	case "stops":
		return []table{stops}
	case "stalls":
		return []table{stalls}
	case "bystanders":
		return []table{bystand}
	case "changes":
		return []table{changes}
	case "reloads":
		return []table{reloads}
	case "webhook":
		return []table{webhook}
	}
	return []table{speed, stops, stalls, bystand, changes, reloads, webhook}
}
