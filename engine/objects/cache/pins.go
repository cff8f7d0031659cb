package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// pins keeps views for paging, bounded in number and time.
type pins struct {
	most  int
	life  time.Duration
	clock clock.PassiveClock

	// due is when the oldest pin ends, in Unix nanoseconds; 0 if there is none.
	due atomic.Int64

	mu   sync.Mutex // guards all below
	held []pin      // the one used last comes last
}

type pin struct {
	view View
	ends time.Time
}

func newPins(most int, life time.Duration, clock clock.PassiveClock) *pins {
	return &pins{most: most, life: life, clock: clock}
}

// add keeps a view, or keeps it longer.
func (p *pins) add(v View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(v)
	p.held = append(p.held, pin{view: v, ends: p.clock.Now().Add(p.life)})
	if len(p.held) > p.most {
		p.held = slices.Delete(p.held, 0, 1)
	}
	p.schedule()
}

// find is a view of c as it was at revision; finding it keeps it longer.
func (p *pins) find(c *Collection, revision int64) (View, bool) {
	p.expire()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.held {
		v := p.held[i].view
		if v.collection != c || revision < v.snapshot.from || revision > v.revision {
			continue
		}
		p.drop(v)
		p.held = append(p.held, pin{view: v, ends: p.clock.Now().Add(p.life)})
		p.schedule()
		v.revision = revision
		return v, true
	}
	return View{}, false
}

// drop forgets a view that is to be kept anew. mu must be held.
func (p *pins) drop(v View) {
	p.held = slices.DeleteFunc(p.held, func(other pin) bool {
		return other.view.snapshot == v.snapshot && other.view.revision <= v.revision
	})
}

// expire lets go of views whose time is over. It costs next to nothing while there are none.
func (p *pins) expire() {
	due := p.due.Load()
	if due == 0 || p.clock.Now().UnixNano() < due {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.held = slices.DeleteFunc(p.held, func(held pin) bool { return !now.Before(held.ends) })
	p.schedule()
}

// schedule notes when the first pin ends: they stand in that order. mu must be held.
func (p *pins) schedule() {
	if len(p.held) == 0 {
		p.due.Store(0)
		return
	}
	p.due.Store(p.held[0].ends.UnixNano())
}
