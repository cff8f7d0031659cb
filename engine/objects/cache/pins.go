package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// pins keeps views for paging, bounded in number, time and what they keep from the past.
type pins struct {
	most  int
	bytes int64
	life  time.Duration
	clock clock.PassiveClock

	// any says that views are held.
	any atomic.Bool

	mu   sync.Mutex // guards all below
	held []pin      // the one used last comes last
}

type pin struct {
	view View
	ends time.Time
}

func newPins(o Options) *pins {
	return &pins{most: o.PinnedViews, bytes: o.PinnedBytes, life: o.PinTime, clock: o.Clock}
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
	p.any.Store(true)
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

// expire lets go of views whose time is over, or that keep too much. It costs next to nothing while there are none.
func (p *pins) expire() {
	if !p.any.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.held = slices.DeleteFunc(p.held, func(held pin) bool { return !now.Before(held.ends) || held.view.past() > p.bytes })
	p.any.Store(len(p.held) > 0)
}
