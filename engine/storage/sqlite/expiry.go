package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"gatehouse/engine/storage"
)

const (
	// expiryBatch is how many expired keys are deleted at once.
	expiryBatch = 256
	// expiryRetry is how long to wait after a failure.
	expiryRetry = time.Second
	// expiryNap is the longest sleep. A box may learn the time, or be set right, while the loop sleeps, and timers do
	// not notice.
	expiryNap = time.Minute
)

// expire deletes keys when their time has come, also those whose time came while no server ran. The deletions are
// ordinary writes that expect the revision that expired, so that a key renewed meanwhile stays.
func (s *Store) expire() {
	ctx, cancel := s.untilClosing()
	defer cancel()
	for ctx.Err() == nil {
		next, err := s.expireDue(ctx)
		if err != nil && ctx.Err() == nil {
			s.options.Logger.Error("delete expired keys", "error", err)
			next = s.options.Clock.Now().Add(expiryRetry)
		}
		s.sleepUntil(ctx, next)
	}
}

// alarm lets the writer wake the expiry loop when a key is to expire sooner than the loop knows of.
type alarm struct {
	// before is the Unix millisecond the loop sleeps until; the largest number while it does not know, or knows of
	// none.
	before atomic.Int64
	ring   chan struct{} // holds one token at most
}

func newAlarm() *alarm {
	a := &alarm{ring: make(chan struct{}, 1)}
	a.before.Store(math.MaxInt64)
	return a
}

// consider is the writer's, after each commit.
func (a *alarm) consider(e storage.Event) {
	if e.Item.Expires.IsZero() || e.Item.Expires.UnixMilli() >= a.before.Load() {
		return
	}
	select {
	case a.ring <- struct{}{}:
	default: // the loop is about to look anyway
	}
}

// sleepUntil waits for the next expiry, or for a write that brings an earlier one.
func (s *Store) sleepUntil(ctx context.Context, next time.Time) {
	var due <-chan time.Time
	if !next.IsZero() {
		s.alarm.before.Store(next.UnixMilli())
		if nap := s.options.Clock.Now().Add(expiryNap); nap.Before(next) {
			next = nap
		}
		due = s.options.Clock.Until(next)
	}
	select {
	case <-due:
	case <-s.alarm.ring:
	case <-ctx.Done():
	}
}

// expireDue deletes all that is due and returns when the next is, zero for never.
func (s *Store) expireDue(ctx context.Context) (time.Time, error) {
	for {
		expired, next, err := s.readExpired(ctx)
		if err != nil || len(expired) == 0 {
			return next, err
		}
		if err := s.deleteAll(ctx, expired); err != nil {
			return time.Time{}, err
		}
	}
}

// readExpired lists what is due, or else when something will be. Every commit from before the reading until the loop
// sleeps rings the alarm, so that none is missed.
func (s *Store) readExpired(ctx context.Context) (expired []storage.Write, next time.Time, err error) {
	s.alarm.before.Store(math.MaxInt64)
	now := s.options.Clock.Now().UnixMilli()
	err = s.readers.view(ctx, func(r *reader, _, _ int64) error {
		err := r.listExpired.each(func(row []driver.Value) error {
			expired = append(expired, storage.Write{Key: row[0].(string), Expected: row[1].(int64), Delete: true})
			return nil
		}, now, int64(expiryBatch))
		if err != nil || len(expired) > 0 {
			return err
		}
		return r.nextExpiry.each(func(row []driver.Value) error {
			ms, _ := row[0].(int64) // NULL when nothing expires
			next = fromMillis(ms)
			return nil
		})
	})
	return expired, next, s.noteFault(err)
}

// deleteAll hands the deletions to the writer together, so that they share its transactions.
func (s *Store) deleteAll(ctx context.Context, writes []storage.Write) error {
	requests := make([]*request, 0, len(writes))
	for _, w := range writes {
		r, err := s.submit(ctx, w)
		if err != nil {
			return err
		}
		requests = append(requests, r)
	}
	for _, r := range requests {
		var renewed *storage.ConflictError
		if err := s.await(ctx, r).err; err != nil && !errors.As(err, &renewed) {
			return err
		}
	}
	return nil
}

// untilClosing is a context that ends when the store begins to close.
func (s *Store) untilClosing() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-s.closing:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}
