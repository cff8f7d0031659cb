package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

func parseNumbers(list string) ([]int, error) {
	var numbers []int
	for field := range strings.SplitSeq(list, ",") {
		number, err := strconv.Atoi(field)
		if err != nil || number < 0 {
			return nil, fmt.Errorf("%q in %q is not a number from 0 on", field, list)
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}

// reportWatches measures what it takes to bring one event to one watcher, at rates that leave the server idle in between,
// where each event is a write of its own, up to as many changes as can be written; and for the two ways in which watches reach a
// server: each on a connection of its own, as 500 nodes' are, and as many on one as servers allow, as those of one client are.
func (p *plan) reportWatches(ctx context.Context, server *target, clients *clients) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "\nWATCH by %d, %d changes, per event and watcher; delay from acknowledgement to arrival\n\n", p.watchers, p.changes)
	fmt.Fprint(out, "per connection\tchanges/s\tupstream's handler\t99 % delay\tfrom the cache\tmedian delay\t99 % delay\tbytes\t\n")
	for _, streams := range p.streams {
		for _, rate := range p.rates {
			load := watchLoad{rate: rate, streams: max(streams, 1)}
			var handled delivery
			var err error
			if !p.cacheOnly {
				if handled, err = p.measureWatch(ctx, server, server.handled.URL, clients, load); err != nil {
					return fmt.Errorf("watch by upstream's handler: %w", err)
				}
			}
			cached, err := p.measureWatch(ctx, server, server.cached.URL, clients, load)
			if err != nil {
				return fmt.Errorf("watch from the cache: %w", err)
			}
			fmt.Fprintf(out, "%d\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t\n", load.streams, cached.rate, brief(handled.cpu), brief(handled.slowest),
				brief(cached.cpu), brief(cached.median), brief(cached.slowest), cached.bytes)
		}
	}
	return out.Flush()
}

// watchLoad is what the watches are exposed to, and how.
type watchLoad struct {
	// rate is how many changes there are a second, 0 for as many as possible; streams how many watches are on a connection.
	rate, streams int
}

// delivery is what it takes to bring one event to one watcher.
type delivery struct {
	cpu   time.Duration
	bytes int64
	// rate is how many changes there were a second.
	rate int
	// median and slowest are the times from a write's acknowledgement to the arrival of its event that half of all keep, and 99 of 100.
	median, slowest time.Duration
}

// measureWatch takes the server's CPU time of changes with watchers, less that of changes without.
func (p *plan) measureWatch(ctx context.Context, server *target, url string, clients *clients, load watchLoad) (delivery, error) {
	alone, _, err := server.change(ctx, p.changes, load.rate)
	if err != nil {
		return delivery{}, err
	}
	deliveries := p.watchers * p.changes
	watching := job{URL: url + "/api/v1/pods?watch=true&resourceVersion=" + server.revision(ctx), Accept: acceptJSON,
		Watchers: p.watchers, PerConnection: load.streams, Events: deliveries}
	if _, err := clients.do(watching); err != nil {
		return delivery{}, err
	}
	before, err := processCPU()
	if err != nil {
		return delivery{}, err
	}
	_, acknowledged, err := server.change(ctx, p.changes, load.rate)
	if err != nil {
		return delivery{}, err
	}
	done, err := clients.receive()
	if err != nil {
		return delivery{}, err
	}
	after, err := processCPU()
	delays := delays(acknowledged, done.Arrivals)
	took := acknowledged[len(acknowledged)-1].Sub(acknowledged[0])
	return delivery{
		cpu:     (after - before - alone) / time.Duration(deliveries),
		bytes:   done.Bytes / int64(deliveries),
		rate:    int(time.Duration(len(acknowledged)) * time.Second / max(took, 1)),
		median:  delays[len(delays)/2],
		slowest: delays[len(delays)*99/100],
	}, err
}

// delays are sorted; what arrives before the acknowledgement has none.
func delays(acknowledged []time.Time, arrivals [][]int64) []time.Duration {
	var delays []time.Duration
	for _, watcher := range arrivals {
		for n, arrival := range watcher {
			delays = append(delays, max(0, time.Unix(0, arrival).Sub(acknowledged[n])))
		}
	}
	slices.Sort(delays)
	return delays
}
