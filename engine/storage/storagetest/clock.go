package storagetest

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until it is moved. It has the methods Now and Until that implementations take
// their time from.
type Clock struct {
	mu      sync.Mutex // guards all below
	now     time.Time
	waiting map[chan time.Time]time.Time
}

// NewClock is a clock at some fixed time.
func NewClock() *Clock {
	return &Clock{now: time.Date(2030, 1, 2, 3, 4, 5, 678_900_000, time.UTC), waiting: map[chan time.Time]time.Time{}}
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Until delivers once the clock has been moved to t, at once if it has already.
func (c *Clock) Until(t time.Time) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	if t.After(c.now) {
		c.waiting[ch] = t
	} else {
		ch <- c.now
	}
	return ch
}

// Set moves the clock as somebody who sets it does: those who wait already wait for as long as before.
func (c *Clock) Set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for ch, t := range c.waiting {
		c.waiting[ch] = t.Add(d)
	}
}

// Advance lets time pass.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for ch, t := range c.waiting {
		if !t.After(c.now) {
			delete(c.waiting, ch)
			ch <- c.now
		}
	}
}
