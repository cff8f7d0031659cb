package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gatehouse/engine/storage"
)

const (
	// maxValue bounds one value; the API server's own limit on request bodies is far below.
	maxValue = 32 << 20
	// A group is closed when it holds so many writes or bytes, so that one transaction stays within memory and time.
	maxGroup      = 512
	maxGroupBytes = 8 << 20
)

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

// writer owns the connection that writes. All but its channels belong to the goroutine in run.
type writer struct {
	store    *Store
	conn     *conn
	revision int64 // of the last commit
	walPages int   // written since the WAL began, about

	requests chan *request
	jobs     chan job
	stopped  chan struct{} // closed when run has ended

	begin, commit              *stmt
	getCurrent, getVersion     *stmt
	putCurrent, deleteCurrent  *stmt
	insertVersion, insertEvent *stmt
}

// job is a piece of maintenance that needs the writing connection for a short while.
type job struct {
	do   func(*conn) error
	done chan error
}

func newWriter(s *Store) (*writer, error) {
	c, err := connect(s.path, s.options.CacheBytes, false)
	if err != nil {
		return nil, err
	}
	w := &writer{
		store: s, conn: c,
		requests: make(chan *request, maxGroup), jobs: make(chan job), stopped: make(chan struct{}),
	}
	if err := w.prepare(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return w, nil
}

func (w *writer) prepare() error {
	if err := prepareSchema(w.conn, w.store.path); err != nil {
		return err
	}
	if err := w.configure(); err != nil {
		return err
	}
	return w.conn.prepareAll(map[**stmt]string{
		&w.begin:         `BEGIN IMMEDIATE`,
		&w.commit:        `COMMIT`,
		&w.getCurrent:    `SELECT revision FROM current WHERE key = ?`,
		&w.getVersion:    `SELECT created, expires, value FROM versions WHERE revision = ?`,
		&w.putCurrent:    `INSERT OR REPLACE INTO current (key, revision, expires) VALUES (?, ?, ?)`,
		&w.deleteCurrent: `DELETE FROM current WHERE key = ?`,
		&w.insertVersion: `INSERT INTO versions (revision, created, expires, value) VALUES (?, ?, ?, ?)`,
		&w.insertEvent:   `INSERT INTO history (revision, key, previous, deleted) VALUES (?, ?, ?, ?)`,
	})
}

func (w *writer) configure() error {
	pragmas := fmt.Sprintf("PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d", writerCheckpointPages, walKept)
	if limit := w.store.options.MaxBytes; limit > 0 {
		pragmas += fmt.Sprintf("; PRAGMA max_page_count = %d", max(1, limit/pageBytes))
	}
	return w.conn.exec(pragmas)
}

func (w *writer) position() (revision, compacted int64, err error) {
	row, err := w.conn.integers(selectPosition)
	if err != nil {
		return 0, 0, err
	}
	if len(row) == 0 {
		return 0, 0, &DamagedError{Path: w.store.path, Cause: errors.New("table state is empty")}
	}
	return row[0], row[1], nil
}

func (w *writer) close() error { return w.conn.close() }

// run serves until the store closes, and then what has been accepted by then.
func (w *writer) run() {
	defer close(w.stopped)
	for {
		select {
		case r := <-w.requests:
			w.serve(w.gather(r))
		case j := <-w.jobs:
			j.done <- w.perform(j)
		case <-w.store.closing:
			w.drain()
			return
		}
	}
}

func (w *writer) drain() {
	for {
		select {
		case r := <-w.requests:
			w.serve(w.gather(r))
		default:
			return
		}
	}
}

// gather adds to the first request all that are waiting with it.
func (w *writer) gather(first *request) []*request {
	group, bytes := []*request{first}, len(first.Value)
	for len(group) < maxGroup && bytes < maxGroupBytes {
		select {
		case r := <-w.requests:
			group, bytes = append(group, r), bytes+len(r.Value)
		default:
			return group
		}
	}
	return group
}

// maintain has a job done between two groups.
func (w *writer) maintain(ctx context.Context, do func(*conn) error) error {
	j := job{do: do, done: make(chan error, 1)}
	select {
	case w.jobs <- j:
		return <-j.done
	case <-ctx.Done():
		return ctx.Err()
	case <-w.store.closing:
		return storage.ErrClosed
	}
}

// perform does a job, and leaves no transaction of it behind.
func (w *writer) perform(j job) error {
	if err := w.store.Healthy(); err != nil {
		return err
	}
	err := j.do(w.conn)
	if err == nil {
		return nil
	}
	err = explain(w.store.path, errors.Join(err, w.conn.rollback()))
	if fatal(err) {
		w.store.fail(err)
	}
	return err
}

// serve commits a group and answers it.
func (w *writer) serve(group []*request) {
	answers := make([]answer, len(group))
	events, err := w.commitGroup(group, answers)
	if err != nil {
		err = explain(w.store.path, err)
		if fatal(err) {
			w.store.fail(err)
		}
		for i := range answers {
			answers[i] = answer{err: err}
		}
	} else if len(events) > 0 {
		w.publish(events)
	}
	for i, r := range group {
		r.done <- answers[i]
	}
}

// publish makes a commit known: observers first, so that what they keep is fresh when a watcher comes to look.
func (w *writer) publish(events []storage.Event) {
	w.revision = events[len(events)-1].Item.ModRevision
	for _, observe := range w.store.options.Observers {
		observe(events)
	}
	w.store.hub.publish(events, w.revision)
	raise(&w.store.revision, w.revision)
	for _, e := range events {
		w.store.alarm.consider(e)
	}
	w.grew(events)
}

// commitGroup is one transaction. A comparison that fails concerns its own write only; an error of SQLite undoes the group.
func (w *writer) commitGroup(group []*request, answers []answer) ([]storage.Event, error) {
	if err := w.store.Healthy(); err != nil {
		return nil, err
	}
	if err := w.begin.exec(); err != nil {
		return nil, err
	}
	events, err := w.applyGroup(group, answers)
	if err == nil {
		err = w.commit.exec()
	}
	if err != nil {
		return nil, errors.Join(err, w.conn.rollback())
	}
	return events, nil
}

func (w *writer) applyGroup(group []*request, answers []answer) ([]storage.Event, error) {
	events := make([]storage.Event, 0, len(group))
	now := w.store.options.Clock.Now()
	for i, r := range group {
		if !r.owner.CompareAndSwap(waiting, taken) {
			continue
		}
		event, err := w.applyOne(r.Write, w.revision+int64(len(events))+1, now)
		var conflict *storage.ConflictError
		switch {
		case errors.As(err, &conflict):
			answers[i].err = err
		case err != nil:
			return nil, err
		default:
			events = append(events, event)
			answers[i] = answer{item: event.Item, revision: event.Item.ModRevision}
			if event.Delete {
				answers[i].item = *event.Previous
			}
		}
	}
	return events, nil
}

// applyOne compares and writes within the transaction.
func (w *writer) applyOne(r storage.Write, revision int64, now time.Time) (storage.Event, error) {
	previous, err := w.current(r.Key)
	if err != nil {
		return storage.Event{}, err
	}
	var found int64
	if previous != nil {
		found = previous.ModRevision
	}
	if (r.Expected != storage.AnyRevision && r.Expected != found) || (r.Delete && previous == nil) {
		return storage.Event{}, &storage.ConflictError{Key: r.Key, Expected: r.Expected, Current: previous}
	}
	event := storage.Event{
		Item:     storage.Item{Key: r.Key, CreateRevision: revision, ModRevision: revision},
		Delete:   r.Delete,
		Previous: previous,
	}
	if previous != nil {
		event.Item.CreateRevision = previous.CreateRevision
	}
	if !r.Delete {
		event.Item.Value = r.Value
		event.Item.Expires = expiry(now, r.TTL)
	}
	return event, w.record(event, found)
}

// record writes one event into the three tables.
func (w *writer) record(event storage.Event, previous int64) error {
	item, deleted := event.Item, int64(0)
	if event.Delete {
		deleted = 1
		if err := w.deleteCurrent.exec(item.Key); err != nil {
			return err
		}
	} else {
		expires := toMillis(item.Expires)
		if err := w.insertVersion.exec(item.ModRevision, item.CreateRevision, expires, item.Value); err != nil {
			return err
		}
		if err := w.putCurrent.exec(item.Key, item.ModRevision, expires); err != nil {
			return err
		}
	}
	return w.insertEvent.exec(item.ModRevision, item.Key, previous, deleted)
}

// current is what the key holds as the transaction sees it, nil for nothing.
func (w *writer) current(key string) (item *storage.Item, err error) {
	var revision int64
	err = w.getCurrent.each(func(row []driver.Value) error {
		revision = row[0].(int64)
		return nil
	}, key)
	if err != nil || revision == 0 {
		return nil, err
	}
	err = w.getVersion.each(func(row []driver.Value) error {
		item = newItem(key, revision, row)
		return nil
	}, revision)
	if err == nil && item == nil {
		err = missingVersion(w.store.path, key, revision)
	}
	return item, err
}

// newItem makes an item of a key, a revision, and the columns created, expires, value; nil when these are NULL because there is no
// such version.
func newItem(key string, revision int64, version []driver.Value) *storage.Item {
	created, ok := version[0].(int64)
	if !ok {
		return nil
	}
	return &storage.Item{
		Key: key, ModRevision: revision,
		CreateRevision: created, Expires: fromMillis(version[1].(int64)), Value: version[2].([]byte),
	}
}

func missingVersion(path, key string, revision int64) error {
	return &DamagedError{Path: path, Cause: fmt.Errorf("key %s has no version %d", key, revision)}
}

// expiry is rounded up to the millisecond that is stored, so that a key never lives shorter than asked.
func expiry(now time.Time, ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return fromMillis(now.Add(ttl + time.Millisecond - 1).UnixMilli())
}

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
