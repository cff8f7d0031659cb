package read

import (
	"maps"
	"sync"
)

// Reason is why a read was left to upstream's handler. It is a metric's label: few values, never taken from a request.
type Reason string

const (
	// reasonNone is that of reads we answered.
	reasonNone Reason = ""
	// Refused: upstream's handler will answer with an error, in its own words.
	Refused Reason = "refused"
	// Encoding: the client wants an encoding that is neither spliced nor made of one that is.
	Encoding Reason = "encoding"
	// Sharding: the client asks for a shard of the objects.
	Sharding Reason = "sharding"
	// Audit: the answer is to be kept in the audit log, as an object.
	Audit Reason = "audit"
	// History: the cache does not hold the revision asked for; the store's history may.
	History Reason = "history"
	// Unreadable: an object could not be decoded or encoded.
	Unreadable Reason = "unreadable"
	// Unavailable: the cache could not give a view of the resource in time.
	Unavailable Reason = "unavailable"
)

// Counts tells how many reads were answered and how many were left to upstream's handlers, and why. It is safe for
// concurrent use; the zero value is ready.
type Counts struct {
	mu sync.Mutex
	// byReason has the answered ones under reasonNone.
	byReason map[Reason]int64
}

func (c *Counts) add(reason Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byReason == nil {
		c.byReason = map[Reason]int64{}
	}
	c.byReason[reason]++
}

// Answered is how many reads were answered from the cache.
func (c *Counts) Answered() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byReason[reasonNone]
}

// LeftToUpstream is how many reads were not, by reason. The map is the caller's.
func (c *Counts) LeftToUpstream() map[Reason]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := maps.Clone(c.byReason)
	delete(left, reasonNone)
	return left
}
