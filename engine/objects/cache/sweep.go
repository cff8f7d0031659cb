package cache

import (
	"runtime"
	"sync"
)

// sweeper keeps bounded what is wasted in slabs, on a goroutine of its own: it moves what is kept out of slabs that are mostly
// empty, and has Go's collector find out which slabs nobody reads any more. Go's collector does not see their size, and so would
// not hurry.
type sweeper struct {
	closing   chan struct{}
	closeOnce sync.Once
	stopped   chan struct{}

	mu sync.Mutex // held while sweeping; guards the below
	// freed and emptied are the arena's counts when the sweeper last moved and last collected: what is still read can be
	// neither moved nor collected, and trying again helps only when there is more.
	freed, emptied int64
}

func newSweeper() *sweeper {
	return &sweeper{closing: make(chan struct{}), stopped: make(chan struct{})}
}

func (s *sweeper) start(c *Cache) {
	go func() {
		defer close(s.stopped)
		for {
			select {
			case <-c.arena.full:
				s.sweep(c)
			case <-s.closing:
				return
			}
		}
	}()
}

func (s *sweeper) close() {
	s.closeOnce.Do(func() { close(s.closing) })
	<-s.stopped
}

func (s *sweeper) sweep(c *Cache) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.arena.wantsMoving(s.freed) {
		c.move()
		s.freed = c.arena.freed.Load()
	}
	if c.arena.wantsCollecting(s.emptied) {
		s.emptied = c.arena.emptied.Load()
		runtime.GC()
	}
}

// move empties slabs that are mostly empty. It holds up the writer for no longer than taking a view does.
func (c *Cache) move() {
	for _, collection := range c.loaded() {
		view, events := collection.all()
		for _, e := range events {
			e.move()
		}
		for e := range view.Scan("", "") {
			e.move()
		}
	}
}

// loaded is the collections that hold anything.
func (c *Cache) loaded() (loaded []*Collection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, collection := range c.collections.byPrefix {
		if collection.loaded.Load() {
			loaded = append(loaded, collection)
		}
	}
	return loaded
}

// all is the present and the window.
func (c *Collection) all() (View, []*Event) {
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	events, _ := c.window.after(c.window.from)
	return c.view(), events
}

// move moves what only the event holds.
func (e *Event) move() {
	if e.Previous != nil {
		e.Previous.move()
	}
	if e.Kind == Deleted {
		e.Entry.move()
	}
	if left := e.departed.Load(); left != nil {
		left.move()
	}
}
