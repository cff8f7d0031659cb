// Package memory returns to the system what bursts of work leave behind.
//
// Go's collector lets the heap grow to twice of what is in use before it looks for garbage, and looks only when something is
// allocated: a server that has come to rest keeps the last burst's garbage. See RATIONALE.md, "Why does a server at rest
// collect its garbage?".
package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/utils/clock"
)

const (
	// interval is how often the process is looked at.
	interval = 5 * time.Second
	// quiet is the most that is allocated in an interval of rest, in bytes.
	quiet = 4 << 20
	// enough is how much has to be allocated since garbage was last collected to make it worth while again, in bytes.
	enough = 8 << 20
)

// Tend gives garbage back whenever the process has come to rest, until ctx ends. It is for the one who owns the process.
func Tend(ctx context.Context) {
	tender{clock: clock.RealClock{}, allocated: allocated, release: debug.FreeOSMemory}.run(ctx)
}

// tender has what differs in tests.
type tender struct {
	clock clock.WithTicker
	// allocated is how many bytes the process has allocated so far.
	allocated func() uint64
	release   func()
}

func (t tender) run(ctx context.Context) {
	ticker := t.clock.NewTicker(interval)
	defer ticker.Stop()
	work := work{seen: t.allocated()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			if work.rests(t.allocated()) {
				t.release()
			}
		}
	}
}

// work is how much has been allocated, and of that, when memory was last given back. At first it never was: starting is a burst.
type work struct {
	seen, released uint64
}

// rests says whether it is time to give memory back; it is to be asked once an interval.
func (w *work) rests(allocated uint64) bool {
	rests := allocated-w.seen < quiet && allocated-w.released >= enough
	w.seen = allocated
	if rests {
		w.released = allocated
	}
	return rests
}

func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0 // of a runtime that does not tell: then there is nothing to go by
	}
	return sample[0].Value.Uint64()
}
