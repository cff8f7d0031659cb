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
	sources *lru.Cache // Source to debt; guarded by mu
}

// debt is how many failures were not forgotten yet, at a time.
type debt struct {
	failures float64
	at       time.Time
}

// New makes a limiter that has seen nobody fail.
func New(clock clock.PassiveClock) *Limiter {
	return &Limiter{clock: clock, sources: lru.New(maxSources)}
}

// Wait is how long a source has to wait until it may try again, zero if it may try now.
func (l *Limiter) Wait(source Source) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources.Len() == 0 {
		return 0
	}
	over := l.debt(source) - (Failures - 1)
	if over <= 0 {
		return 0
	}
	return time.Duration(over * float64(Forgiving))
}

// Failed notes an attempt that failed.
func (l *Limiter) Failed(source Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sources.Add(source, debt{failures: min(l.debt(source)+1, Failures), at: l.clock.Now()})
}

// debt is what is not forgotten of a source's failures. It is called with mu held.
func (l *Limiter) debt(source Source) float64 {
	known, ok := l.sources.Get(source)
	if !ok {
		return 0
	}
	d := known.(debt)
	left := d.failures - float64(l.clock.Since(d.at))/float64(Forgiving)
	if left <= 0 {
		l.sources.Remove(source)
		return 0
	}
	return left
}
