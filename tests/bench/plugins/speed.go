package main

import (
	"context"
	"fmt"
	"math"
	"text/tabwriter"
	"time"

	"gatehouse/plugins/meter/metertest"
)

// speed compares how fast guests are in the three modes.
func speed(ctx context.Context, p plan, table *tabwriter.Writer) error {
	written, err := buildGo()
	if err != nil {
		return err
	}
	fmt.Fprintln(table, "GUEST\tPLAIN\tWATCHED\tMETERED\tWATCHED/PLAIN\tMETERED/PLAIN\tWANTED")
	for _, module := range []struct {
		name      string
		wasm      []byte
		functions []string
	}{
		{"go", written, []string{"typed", "untyped", "sorted"}},
		{"wat", metertest.Work(), metertest.WorkFunctions()},
	} {
		guests, err := startAll(ctx, module.wasm)
		if err != nil {
			return err
		}
		for _, function := range module.functions {
			if err := compare(ctx, p, guests, function, module.name+": "+function, table); err != nil {
				return err
			}
		}
		var compiling []float64
		for _, g := range guests {
			compiling = append(compiling, float64(g.compiling))
			g.close(ctx)
		}
		row(table, module.name+": compilation", compiling)
	}
	return nil
}

func startAll(ctx context.Context, wasm []byte) ([]*guest, error) {
	var guests []*guest
	for _, m := range []mode{plain(), watched(), metered()} {
		g, err := m.start(ctx, wasm)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		guests = append(guests, g)
	}
	return guests, nil
}

// compare takes turns between the modes, so that they share what the machine does besides.
func compare(ctx context.Context, p plan, guests []*guest, function, name string, table *tabwriter.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Hour) // a deadline to keep, as every call of a plugin has
	defer cancel()
	if err := agree(ctx, guests, function); err != nil {
		return err
	}
	rounds, best := make([]uint64, len(guests)), make([]float64, len(guests))
	for i, g := range guests {
		var err error
		if rounds[i], err = g.calibrate(ctx, function, p.time); err != nil {
			return err
		}
		best[i] = math.Inf(1)
	}
	for range p.rounds {
		for i, g := range guests {
			took, err := g.time(ctx, function, rounds[i])
			if err != nil {
				return err
			}
			best[i] = min(best[i], float64(took)/float64(rounds[i]))
		}
	}
	row(table, name, best)
	return nil
}

// agree makes sure that guests do the same in all modes.
func agree(ctx context.Context, guests []*guest, function string) error {
	want, err := guests[0].call(ctx, function, 3)
	if err != nil {
		return err
	}
	for _, g := range guests[1:] {
		if got, err := g.call(ctx, function, 3); err != nil || got != want {
			return fmt.Errorf("%s gives %d (%v) in one mode and %d in another", function, got, err, want)
		}
	}
	return nil
}

// row prints nanoseconds of the three modes, and how they compare.
func row(table *tabwriter.Writer, name string, took []float64) {
	fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.2f\t%.2f\t%s\n", name, duration(took[0]), duration(took[1]), duration(took[2]),
		took[1]/took[0], took[2]/took[0], verdict(took[2]/took[0] <= 1.3, "at most 1.3"))
}

// duration prints nanoseconds in three digits.
func duration(ns float64) string {
	for _, unit := range []string{"ns", "µs", "ms"} {
		if ns < 1000 {
			return fmt.Sprintf("%.3g %s", ns, unit)
		}
		ns /= 1000
	}
	return fmt.Sprintf("%.3g s", ns)
}

// calibrate finds how many rounds take about the wanted time.
func (g *guest) calibrate(ctx context.Context, function string, want time.Duration) (uint64, error) {
	for n := uint64(1); ; n *= 4 {
		took, err := g.time(ctx, function, n)
		if err != nil {
			return 0, err
		}
		if took > want/8 {
			return max(1, uint64(float64(n)*float64(want)/float64(took))), nil
		}
	}
}
