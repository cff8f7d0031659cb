package objects

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// As upstream's cache does it: bookmarks about once a minute, so that a client whose objects do not change can resume after a
// lost connection without listing all of them, and one shortly before the watch times out, from which it will resume.
const (
	bookmarkInterval    = time.Minute
	bookmarkBeforeClose = 2 * time.Second
)

// bookmarkTimer wakes a watch that waits for events when a bookmark is due, by ending the context it waits with. nil is a
// timer that is never due. Apart from the clock's callback it is for one goroutine.
type bookmarkTimer struct {
	clock    clock.WithDelayedExecution
	deadline time.Time // of the watch, zero for none

	timer   clock.Timer // nil when no bookmark is to come any more
	waiting context.Context
	wake    context.CancelFunc
}

// newBookmarkTimer starts the timer of a watch that lives as long as ctx; nil if it wants no bookmarks.
func newBookmarkTimer(ctx context.Context, clock clock.WithDelayedExecution, wanted bool) *bookmarkTimer {
	if !wanted {
		return nil
	}
	b := &bookmarkTimer{clock: clock}
	b.deadline, _ = ctx.Deadline()
	b.arm(ctx)
	return b
}

// arm prepares for the next bookmark.
func (b *bookmarkTimer) arm(ctx context.Context) {
	b.stop()
	b.timer = nil
	b.waiting, b.wake = context.WithCancel(ctx)
	now := b.clock.Now()
	next := now.Add(bookmarkInterval)
	if last := b.deadline.Add(-bookmarkBeforeClose); !b.deadline.IsZero() && last.Before(next) {
		next = last
	}
	if next.After(now) {
		b.timer = b.clock.AfterFunc(next.Sub(now), b.wake)
	}
}

// stop releases the timer. The watch must not wait with its context afterwards, unless it arms it again.
func (b *bookmarkTimer) stop() {
	if b == nil || b.wake == nil {
		return
	}
	if b.timer != nil {
		b.timer.Stop()
	}
	b.wake()
}

func (b *bookmarkTimer) wanted() bool { return b != nil }

// context is what to wait with: it ends with ctx, which must be the one given to arm, or when a bookmark is due.
func (b *bookmarkTimer) context(ctx context.Context) context.Context {
	if b == nil {
		return ctx
	}
	return b.waiting
}

// due says whether the time has come for a bookmark, or the watch has ended.
func (b *bookmarkTimer) due() bool { return b != nil && b.waiting.Err() != nil }
