package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

// plan is what the command line asks for.
type plan struct {
	dir        string
	duration   time.Duration
	valueBytes int
	keys       int
}

// workload is one sort of writes, beside some watchers that take their events as they come.
type workload struct {
	name     string
	next     func(p *plan, writer, n int) storage.Write
	options  sqlite.Options
	watchers int
	prefix   func(watcher int) string
}

var workloads = []workload{
	{name: "create", next: create},
	{name: "update", next: update},
	{name: "update, compacting ten times a second", next: update, options: sqlite.Options{
		Retention: time.Second, CompactionInterval: 100 * time.Millisecond,
	}},
	{name: "create, 5000 watchers elsewhere", next: create, watchers: 5000, prefix: func(i int) string {
		return fmt.Sprintf("/registry/configmaps/ns-%d/", i)
	}},
	{name: "create, 500 watchers of it all", next: create, watchers: 500, prefix: func(int) string {
		return "/registry/pods/"
	}},
}

func create(p *plan, writer, n int) storage.Write {
	return storage.Write{Key: fmt.Sprintf("/registry/pods/ns-%d/pod-%d-%x", writer%7, n, writer), Value: p.value(n)}
}

func update(p *plan, writer, n int) storage.Write {
	key := fmt.Sprintf("/registry/pods/ns-%d/pod-%d-%x", writer%7, n*7919%max(1, p.keys/64), writer)
	return storage.Write{Key: key, Value: p.value(n), Expected: storage.AnyRevision}
}

// watch starts a workload's watchers. They end with the store.
func (w workload) watch(ctx context.Context, s storage.Store) error {
	for i := range w.watchers {
		watcher, err := s.Watch(ctx, storage.WatchRequest{Prefix: w.prefix(i)})
		if err != nil {
			return err
		}
		go func() {
			for err := error(nil); err == nil; {
				_, _, err = watcher.Next(ctx)
			}
		}()
	}
	return nil
}

func (p *plan) value(n int) []byte {
	v := make([]byte, p.valueBytes)
	for i := range v {
		v[i] = byte(i*7 + n)
	}
	return v
}

type commitResult struct {
	perSecond            float64
	median, p99, slowest time.Duration
	cpu                  time.Duration // of the whole process, per commit
}

// commits runs one workload on a new database.
func (p *plan) commits(ctx context.Context, w workload, writers int) (result commitResult, err error) {
	path := filepath.Join(p.dir, fmt.Sprintf("commits-%d.db", writers))
	s, err := sqlite.Open(ctx, path, w.options)
	if err != nil {
		return result, err
	}
	if err := w.watch(ctx, s); err != nil {
		return result, errors.Join(err, s.Close())
	}
	latencies := make([][]time.Duration, writers)
	failures := make([]error, writers)
	cpu, began := processCPU(), time.Now()
	var running sync.WaitGroup
	for i := range writers {
		running.Go(func() {
			for n := 0; failures[i] == nil && time.Since(began) < p.duration; n++ {
				write := w.next(p, i, n)
				from := time.Now()
				_, _, failures[i] = s.Apply(ctx, write)
				latencies[i] = append(latencies[i], time.Since(from))
			}
		})
	}
	running.Wait()
	took, cpu := time.Since(began), processCPU()-cpu
	for _, err := range append(failures, s.Close(), os.Remove(path)) {
		if err != nil {
			return result, err
		}
	}
	all := slices.Concat(latencies...)
	slices.Sort(all)
	return commitResult{
		perSecond: float64(len(all)) / took.Seconds(),
		median:    all[len(all)/2], p99: all[len(all)*99/100], slowest: all[len(all)-1],
		cpu: cpu / time.Duration(len(all)),
	}, nil
}

// processCPU is the CPU time this process has used, in user and in kernel mode.
func processCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measureSync is the median time to write 8 KiB over what a file holds and wait until it is stable, the least a
// commit must do.
func measureSync(path string) (time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	const rounds, block = 400, 8192
	if _, err := f.Write(make([]byte, rounds*block)); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	var all []time.Duration
	for i := range rounds {
		from := time.Now()
		if _, err := f.WriteAt(make([]byte, block), int64(i*block)); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		all = append(all, time.Since(from))
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
