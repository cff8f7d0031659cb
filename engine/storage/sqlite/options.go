package sqlite

import (
	"log/slog"
	"time"

	"gatehouse/engine/storage"
)

// Clock is where the store takes time from, so that tests need not wait.
type Clock interface {
	Now() time.Time
	// Until delivers once when the time has come; at once when it has passed already.
	Until(time.Time) <-chan time.Time
}

// Options bound what a store may use. The zero value of each field is its default.
type Options struct {
	// Observers are told of every commit, in this order, on the writer's goroutine; see storage.Observer.
	Observers []storage.Observer

	// Retention is for how long past revisions stay readable and watches may resume; older ones are compacted.
	// 5 minutes, as kube-apiserver's; negative keeps all history until Compact is called.
	Retention time.Duration
	// CompactionInterval is how often what has grown older than Retention is compacted. 1 minute.
	CompactionInterval time.Duration

	// WatchEvents and WatchBytes bound what waits for a watcher to take it: 8192 events, 16 MiB of keys and values
	// (which watchers share). A watcher that falls behind further ends with storage.ErrSlowWatcher.
	WatchEvents int
	WatchBytes  int64
	// ProgressInterval is the least time between two progress reports to a watcher. 200 milliseconds.
	ProgressInterval time.Duration

	// Readers is how many reads run at the same time, each on its own connection; more wait. 4.
	Readers int
	// CacheBytes is how much of the database the writer may keep in memory; each reader may keep an eighth of that, for what is read
	// often is in the cache above the store, and what is not, in the system's. 2 MiB.
	CacheBytes int64

	// MaxBytes bounds the database file, as a full disk would: writes that need more fail, and the store stays
	// usable. No bound by default. Before it is reached the WAL may need up to 32 MiB beside the file.
	MaxBytes int64

	// Logger gets what no caller waits for: compactions, checks, failures in the background. Discarded by default.
	Logger *slog.Logger
	// Clock is the wall clock by default.
	Clock Clock
}

func (o Options) withDefaults() Options {
	setDefault(&o.Retention, 5*time.Minute)
	setDefault(&o.CompactionInterval, time.Minute)
	setDefault(&o.WatchEvents, 8192)
	setDefault(&o.WatchBytes, 16<<20)
	setDefault(&o.ProgressInterval, 200*time.Millisecond)
	setDefault(&o.Readers, 4)
	setDefault(&o.CacheBytes, 2<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = wallClock{}
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Until(t time.Time) <-chan time.Time { return time.After(time.Until(t)) }
