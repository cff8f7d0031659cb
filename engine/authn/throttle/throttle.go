// Package throttle slows down those who guess passwords and tokens: who fails too often has to wait, whoever else comes from
// the same address with him, and nobody else.
package throttle

import (
	"net/netip"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

const (
	// Failures is how many attempts may fail in a row from one source before it has to wait. A node whose pods have old
	// tokens reaches it as well, so it is generous: guessing needs thousands of millions.
	Failures = 30
	// Forgiving is how long it takes until one failure is forgotten, and so how often somebody who has to wait may try.
	Forgiving = 2 * time.Second
	// maxSources bounds how many sources are remembered; beyond it those are forgotten that have been quiet for longest.
	maxSources = 8192
	// siteBits is how much of an IPv6 address tells one customer's network from another's: the rest can be had for nothing.
	siteBits = 64
)

// Source is where requests come from: an IPv4 address, or an IPv6 network of 64 bits.
type Source struct{ prefix netip.Prefix }

// String implements fmt.Stringer.
func (s Source) String() string { return s.prefix.String() }

// SourceOf is the source of requests from an address as http.Request.RemoteAddr has it. There is none of an address that is
// no IP address, as of requests that a server makes itself.
func SourceOf(remote string) (Source, bool) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return Source{}, false
	}
	address := from.Addr().Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = siteBits
	}
	prefix, err := address.Prefix(bits)
	return Source{prefix}, err == nil
}

// Limiter remembers who failed. Its methods are safe for concurrent use.
type Limiter struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	sources *lru.Cache // Source to *debt; guarded by mu, as are the debts
}

// debt is what is not forgotten of a source's failures at a time, and how many attempts are under way.
type debt struct {
	failures float64
	at       time.Time
	pending  int
}

// New makes a limiter that has seen nobody fail.
func New(clock clock.PassiveClock) *Limiter {
	return &Limiter{clock: clock, sources: lru.New(maxSources)}
}

// Begin asks for an attempt, and returns how long the source has to wait until it may have one. If that is zero the attempt is
// under way until End is called: those that are count as failed meanwhile, or many at once would count as one.
func (l *Limiter) Begin(source Source) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.debt(source)
	over := d.failures + float64(d.pending) - (Failures - 1)
	if over > 0 {
		return time.Duration(min(over, 1) * float64(Forgiving))
	}
	d.pending++
	return 0
}

// End says that an attempt is not under way any more.
func (l *Limiter) End(source Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.debt(source)
	d.pending = max(d.pending-1, 0)
	if d.pending == 0 && d.failures == 0 {
		l.sources.Remove(source)
	}
}

// Failed notes an attempt that failed.
func (l *Limiter) Failed(source Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.debt(source)
	d.failures = min(d.failures+1, Failures)
}

// debt is a source's as it is now. It is called with mu held.
func (l *Limiter) debt(source Source) *debt {
	now := l.clock.Now()
	if known, ok := l.sources.Get(source); ok {
		d := known.(*debt)
		d.failures = max(d.failures-float64(now.Sub(d.at))/float64(Forgiving), 0)
		d.at = now
		return d
	}
	d := &debt{at: now}
	l.sources.Add(source, d)
	return d
}
