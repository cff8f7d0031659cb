package plugins

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreAtMostAnEighthTooLong(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() time.Duration{
		"times that are alike":     func() time.Duration { return 20*time.Microsecond + time.Duration(random.IntN(1000)) },
		"times that are scattered": func() time.Duration { return time.Duration(random.ExpFloat64() * float64(time.Millisecond)) },
		"long times":               func() time.Duration { return time.Duration(random.Int64N(int64(10 * time.Second))) },
	} {
		t.Run(name, func(t *testing.T) {
			var l latency
			var all []time.Duration
			for range 1000 {
				d := draw()
				all = append(all, d)
				l.observe(d)
			}
			slices.Sort(all)
			for _, q := range []float64{0.5, 0.9, 0.99, 1} {
				truth := all[int(q*1000)-1]
				got := l.quantile(q)
				if got < truth || got > max(truth+truth/8+1, 1024) {
					t.Errorf("%v of all take up to %s, told is %s", q, truth, got)
				}
			}
		})
	}
}

func TestEveryTimeIsInABucketThatHoldsIt(t *testing.T) {
	for d := time.Duration(1); d < 100*time.Second; d += d/7 + 1 {
		b := bucketOf(d)
		if b < latencyBuckets-1 && d >= upTo(b) || b > 0 && d < upTo(b-1) {
			t.Errorf("%s is in the bucket from %s to %s", d, upTo(b-1), upTo(b))
		}
	}
	var none latency
	if got := none.quantile(0.99); got != 0 {
		t.Errorf("of no time at all 99 of 100 take %s", got)
	}
	none.observe(-time.Second) // a clock that was set back
	if got := none.quantile(0.99); got != upTo(0) {
		t.Errorf("no time at all is told as %s", got)
	}
}

func TestHistogramsOfMetricsCountWhatIsNotLonger(t *testing.T) {
	var l latency
	for _, d := range []time.Duration{time.Microsecond, 20 * time.Microsecond, 20 * time.Microsecond, 30 * time.Second} {
		l.observe(d)
	}
	buckets, count, sum := l.cumulative()
	if count != 4 || sum != 30*time.Second+41*time.Microsecond {
		t.Errorf("got %d times of %s together", count, sum)
	}
	for bound, want := range map[time.Duration]uint64{8192: 1, 16384: 1, 32768: 3, 1 << 33: 3} {
		if got, ok := buckets[bound.Seconds()]; !ok || got != want {
			t.Errorf("up to %s are %d, want %d of %v", bound, got, want, buckets)
		}
	}
}
