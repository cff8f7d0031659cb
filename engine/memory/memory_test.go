package memory

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"
)

func TestMemoryIsGivenBackWhenTheProcessHasComeToRest(t *testing.T) {
	const burst = 50 << 20
	for _, test := range []struct {
		name string
		// allocated is what each interval allocates; want says after which of them memory is given back.
		allocated []uint64
		want      []bool
	}{
		{"after the start", []uint64{1, 1, 1}, []bool{true, false, false}},
		{"not in the middle of a burst", []uint64{quiet, burst, burst}, []bool{false, false, false}},
		{"once after each burst", []uint64{0, burst, 0, 0, burst, 1, 0}, []bool{true, false, true, false, false, true, false}},
		{"now and then while little happens", []uint64{0, quiet - 1, quiet - 1, quiet - 1, 0}, []bool{true, false, false, true, false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			total := uint64(100 << 20)
			work := work{seen: total}
			var given []bool
			for _, allocated := range test.allocated {
				total += allocated
				given = append(given, work.rests(total))
			}
			if diff := cmp.Diff(test.want, given); diff != "" {
				t.Errorf("given back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTendingEndsWithItsContext(t *testing.T) {
	clock := testclock.NewFakeClock(time.Unix(0, 0))
	ctx, cancel := context.WithCancel(t.Context())
	begun, released, done := make(chan struct{}, 2), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tender{
			clock:     clock,
			allocated: func() uint64 { begun <- struct{}{}; return enough },
			release:   func() { close(released) },
		}.run(ctx)
	}()
	<-begun // the ticker was made before
	clock.Step(interval)
	<-released
	cancel()
	<-done
}

func TestAllocationsAreCounted(t *testing.T) {
	before := allocated()
	kept := make([]byte, 1<<20)
	if after := allocated(); before == 0 || after < before+uint64(len(kept)) {
		t.Errorf("%d bytes were allocated, and after another %d it is %d", before, len(kept), after)
	}
}
