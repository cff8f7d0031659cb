package sandbox

import (
	"context"
	"sync"
	"time"
)

// pool hands out a module's instances, most recently used first, so that those the load does not need grow old and are
// dropped. It counts instances; making them is its owner's work.
type pool struct {
	// slots holds a token for each instance that may still be in use; having one is the right to an instance.
	slots chan struct{}
	// closing is closed when no more instances are to be handed out.
	closing chan struct{}

	mu   sync.Mutex // guards idle
	idle []*instance
}

func newPool(size int) *pool {
	p := &pool{slots: make(chan struct{}, size), closing: make(chan struct{})}
	for range size {
		p.slots <- struct{}{}
	}
	return p
}

// get takes a slot and the instance used last. Both results are nil when the caller has the slot but must make the
// instance: it then calls put with it, or free. It waits for at most patience.
func (p *pool) get(ctx context.Context, patience time.Duration) (*instance, error) {
	if err := p.takeSlot(ctx, patience); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil, nil
	}
	last := len(p.idle) - 1
	in := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return in, nil
}

func (p *pool) takeSlot(ctx context.Context, patience time.Duration) error {
	select {
	case <-p.closing:
		return ErrClosed
	default:
	}
	select {
	case <-p.slots:
		return nil
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.slots:
		return nil
	case <-p.closing:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return faultf(Busy, "all %d instances were busy for %s", cap(p.slots), patience)
	}
}

// put gives an instance back for others to use.
func (p *pool) put(in *instance) {
	in.idleSince = time.Now()
	p.mu.Lock()
	p.idle = append(p.idle, in)
	p.mu.Unlock()
	p.free()
}

// discard closes an instance that must not be used again.
func (p *pool) discard(in *instance) {
	in.close()
	p.free()
}

// count tells how many instances are in use, or being made, and how many are not.
func (p *pool) count() (busy, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cap(p.slots) - len(p.slots), len(p.idle)
}

// free gives back a slot without an instance.
func (p *pool) free() { p.slots <- struct{}{} }

// trim drops what has been idle since before t. Instances are kept in the order in which they came back.
func (p *pool) trim(t time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := 0
	for old < len(p.idle) && p.idle[old].idleSince.Before(t) {
		p.idle[old].close()
		old++
	}
	p.idle = append([]*instance(nil), p.idle[old:]...)
	return len(p.idle)
}

// close waits until every slot is back and drops all instances.
func (p *pool) close() {
	close(p.closing)
	for range cap(p.slots) {
		<-p.slots
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, in := range p.idle {
		in.close()
	}
	p.idle = nil
}
