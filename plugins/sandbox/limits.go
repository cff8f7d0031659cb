package sandbox

import (
	"runtime"
	"time"
)

// Limits bound what one guest may use. A zero field means the default that DefaultLimits gives.
type Limits struct {
	// Memory is the most linear memory one instance may have, in bytes; whole pages of 64 KiB count.
	Memory int64
	// Deadline is how long one role call may run, in wall-clock time.
	Deadline time.Duration
	// Start is how long making an instance may take: its start function, _initialize and configure together.
	Start time.Duration
	// Output is the longest answer a guest may give, in bytes.
	Output int64
	// Instances is how many instances may exist at once, so how many calls may run at the same time; more wait.
	Instances int
	// Queue is how long a call waits for a free instance before it gives up.
	Queue time.Duration
}

const (
	pageSize = 64 << 10
	// maxMemory is what 32 bit pointers reach.
	maxMemory = 4 << 30
)

// DefaultLimits are roomy for a policy written in Go (5 to 9 MB an instance, about a millisecond a call) and tight enough
// that a runaway guest is stopped before a user asks what is wrong.
func DefaultLimits() Limits {
	return Limits{
		Memory:    64 << 20,
		Deadline:  200 * time.Millisecond,
		Start:     5 * time.Second,
		Output:    1 << 20,
		Instances: max(4, runtime.GOMAXPROCS(0)),
		Queue:     10 * time.Second,
	}
}

// Or returns l with its zero fields taken from other.
func (l Limits) Or(other Limits) Limits {
	if l.Memory == 0 {
		l.Memory = other.Memory
	}
	if l.Deadline == 0 {
		l.Deadline = other.Deadline
	}
	if l.Start == 0 {
		l.Start = other.Start
	}
	if l.Output == 0 {
		l.Output = other.Output
	}
	if l.Instances == 0 {
		l.Instances = other.Instances
	}
	if l.Queue == 0 {
		l.Queue = other.Queue
	}
	return l
}

// pages is the memory limit as the runtime counts it.
func (l Limits) pages() uint32 {
	return uint32(min(max(l.Memory/pageSize, 1), maxMemory/pageSize))
}
