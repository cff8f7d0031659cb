package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"gatehouse/engine/storage"
)

// maxValue bounds one value; the API server's own limit on request bodies is far below.
const maxValue = 32 << 20

// Who owns a request: whoever moves it away from waiting.
const (
	waiting   int32 = iota
	taken           // the writer has begun with it
	abandoned       // its caller has gone before that
)

// request is one write on its way to the writer and back.
type request struct {
	storage.Write
	owner atomic.Int32
	// done has room for the answer: the writer never waits for the caller.
	done chan answer
}

type answer struct {
	item     storage.Item
	revision int64
	err      error
}

// Apply implements storage.Store.
func (s *Store) Apply(ctx context.Context, w storage.Write) (storage.Item, int64, error) {
	item, revision, err := s.apply(ctx, w)
	var conflict *storage.ConflictError
	if err != nil && !errors.As(err, &conflict) {
		err = fmt.Errorf("write %s: %w", w.Key, err)
	}
	return item, revision, err
}

func (s *Store) apply(ctx context.Context, w storage.Write) (storage.Item, int64, error) {
	r, err := s.submit(ctx, w)
	if err != nil {
		return storage.Item{}, 0, err
	}
	a := s.await(ctx, r)
	return a.item, a.revision, a.err
}

// submit hands a write to the writer.
func (s *Store) submit(ctx context.Context, w storage.Write) (*request, error) {
	if err := validate(w); err != nil {
		return nil, err
	}
	if err := errors.Join(s.usable(ctx), s.Healthy()); err != nil {
		return nil, err
	}
	if w.Value == nil {
		w.Value = []byte{}
	}
	r := &request{Write: w, done: make(chan answer, 1)}
	select {
	case s.writer.requests <- r:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.closing:
		return nil, storage.ErrClosed
	}
}

// await waits for the writer's answer, or withdraws the write when ctx ends before the writer has begun with it.
func (s *Store) await(ctx context.Context, r *request) answer {
	select {
	case a := <-r.done:
		return a
	case <-ctx.Done():
		if r.owner.CompareAndSwap(waiting, abandoned) {
			return answer{err: ctx.Err()}
		}
		return answer{err: fmt.Errorf("it may or may not have been written: %w", ctx.Err())}
	case <-s.writer.stopped:
		// The writer may have answered just before it stopped, or stopped before it saw the request.
		select {
		case a := <-r.done:
			return a
		default:
			return answer{err: storage.ErrClosed}
		}
	}
}

func validate(w storage.Write) error {
	switch {
	case w.Key == "":
		return errors.New("the key is empty")
	case w.Expected < storage.AnyRevision:
		return fmt.Errorf("expected revision %d is none", w.Expected)
	case w.TTL < 0:
		return fmt.Errorf("time to live %s is negative", w.TTL)
	case len(w.Value) > maxValue:
		return fmt.Errorf("the value has %d bytes, more than the %d that fit", len(w.Value), maxValue)
	}
	return nil
}
