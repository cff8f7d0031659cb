package plugins

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// latencyOctaves is how many times the time of a bucket doubles, from shortest on: up to 17 s, and one can hardly wait that long.
	latencyOctaves = 24
	// latencyShortest is the power of two of nanoseconds below which times are not told apart, about a microsecond.
	latencyShortest = 10
	// latencySteps is in how many equal parts each octave is divided, as a power of two.
	latencySteps   = 3
	latencyBuckets = 1 + latencyOctaves<<latencySteps
)

// latency counts times in buckets of which each is at most an eighth longer than the one before it, so that a quantile read from
// them is never less than the true one, and at most an eighth more. It takes 1.6 KB, no lock, and may be used from several
// goroutines.
type latency struct {
	buckets [latencyBuckets]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

func (l *latency) observe(d time.Duration) {
	d = max(d, 0)
	l.buckets[bucketOf(d)].Add(1)
	l.sum.Add(int64(d))
}

// bucketOf finds the bucket of a time; what is longer than all is in the last.
func bucketOf(d time.Duration) int {
	octave := bits.Len64(uint64(d)) - 1 - latencyShortest
	if octave < 0 {
		return 0
	}
	step := int(uint64(d)>>(octave+latencyShortest-latencySteps)) & (1<<latencySteps - 1)
	return min(1+octave<<latencySteps+step, latencyBuckets-1)
}

// upTo is the time that all in a bucket are shorter than.
func upTo(bucket int) time.Duration {
	octave, step := bucket>>latencySteps, bucket&(1<<latencySteps-1)
	return time.Duration((1<<latencySteps + step)) << (octave + latencyShortest - latencySteps)
}

// quantile is a time that the part q of all is not longer than; zero when there is none.
func (l *latency) quantile(q float64) time.Duration {
	var counts [latencyBuckets]uint64
	var all uint64
	for i := range l.buckets {
		counts[i] = l.buckets[i].Load()
		all += counts[i]
	}
	if all == 0 {
		return 0
	}
	rank := max(uint64(q*float64(all)+0.999999), 1)
	var seen uint64
	for i, n := range counts {
		if seen += n; seen >= rank {
			return upTo(i)
		}
	}
	return upTo(latencyBuckets - 1)
}

// cumulative is what a Prometheus histogram holds: how many times are at most as long as each octave's end, in seconds.
func (l *latency) cumulative() (buckets map[float64]uint64, count uint64, sum time.Duration) {
	const shortest = 3 // the first octaves are shorter than any call
	buckets = make(map[float64]uint64, latencyOctaves)
	for i := range l.buckets {
		count += l.buckets[i].Load()
		if octave := i >> latencySteps; i&(1<<latencySteps-1) == 0 && octave >= shortest && i < latencyBuckets-1 {
			buckets[upTo(i).Seconds()] = count
		}
	}
	return buckets, count, time.Duration(l.sum.Load())
}
