package throttle

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func source(t *testing.T, remote string) Source {
	t.Helper()
	s, ok := SourceOf(remote)
	if !ok {
		t.Fatalf("%s is no source", remote)
	}
	return s
}

func TestASourceIsAnAddressOrANetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:4711":           "192.0.2.7/32",
		"[::ffff:192.0.2.7]:4711":  "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:2":  "2001:db8:1:2::/64",
		"[fe80::1%eth0]:3":         "fe80::/64",
		"":                         "",
		"@":                        "",
		"example.org:80":           "",
	} {
		s, ok := SourceOf(remote)
		if ok != (want != "") || ok && s.String() != want {
			t.Errorf("source of %q is %s, %t, want %s", remote, s, ok, want)
		}
	}
}

func TestWhoFailsTooOftenWaits(t *testing.T) {
	start := time.Now()
	clock := clocktesting.NewFakePassiveClock(start)
	l := New(clock)
	guesser, other := source(t, "192.0.2.7:1"), source(t, "192.0.2.8:1")
	wait := func(s Source, want time.Duration) {
		t.Helper()
		got := l.Begin(s)
		if got != want {
			t.Errorf("%s waits %s, want %s", s, got, want)
		}
		if got == 0 {
			l.End(s)
		}
	}
	for range Failures {
		wait(guesser, 0)
		l.Failed(guesser)
	}
	wait(guesser, Forgiving)
	wait(other, 0)
	l.Failed(guesser) // one that was under way when the others failed
	wait(guesser, Forgiving)
	clock.SetTime(start.Add(Forgiving / 2))
	wait(guesser, Forgiving/2)
	clock.SetTime(start.Add(Forgiving))
	wait(guesser, 0)
	l.Failed(guesser)
	wait(guesser, Forgiving)
	clock.SetTime(start.Add(2 * Failures * Forgiving))
	wait(guesser, 0)
	if n := l.sources.Len(); n != 0 {
		t.Errorf("%d sources are remembered when everything is forgotten", n)
	}
}

func TestAttemptsUnderWayCountAsFailed(t *testing.T) {
	l := New(clocktesting.NewFakePassiveClock(time.Now()))
	guesser := source(t, "192.0.2.7:1")
	for i := range Failures {
		if wait := l.Begin(guesser); wait != 0 {
			t.Fatalf("attempt %d at once has to wait %s", i, wait)
		}
	}
	if wait := l.Begin(guesser); wait != Forgiving {
		t.Errorf("one more at once has to wait %s, want %s", wait, Forgiving)
	}
	for range Failures - 1 {
		l.Failed(guesser)
		l.End(guesser)
	}
	l.End(guesser) // the last was good
	if wait := l.Begin(guesser); wait != 0 {
		t.Errorf("with one failure left it has to wait %s", wait)
	}
	if wait := l.Begin(guesser); wait == 0 {
		t.Error("with the last failure left under way it need not wait")
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	l := New(clocktesting.NewFakePassiveClock(time.Now()))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range maxSources {
				address := netip.AddrFrom4([4]byte{10, byte(i), byte(j >> 8), byte(j)})
				l.Failed(source(t, fmt.Sprintf("%s:1", address)))
			}
		})
	}
	all.Wait()
	if n := l.sources.Len(); n != maxSources {
		t.Errorf("%d sources are remembered, want %d", n, maxSources)
	}
}

func TestWhatWasGoodIsKnownUntilItIsBad(t *testing.T) {
	f := NewFamiliar()
	if f.Knows("a") || f.Knows("") {
		t.Error("knows credentials that it was not told of")
	}
	f.Good("a")
	f.Bad("b")
	if !f.Knows("a") || f.Knows("b") {
		t.Error("does not know what was good, or knows what was not")
	}
	f.Bad("a")
	if f.Knows("a") {
		t.Error("knows what is not good any more")
	}
}
