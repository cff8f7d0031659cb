package sqlite

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/engine/storage"
)

const (
	// A group is closed when it holds so many writes or bytes, so that one transaction stays within memory and time.
	maxGroup      = 512
	maxGroupBytes = 8 << 20
)

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
	pragmas := fmt.Sprintf("PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d",
		writerCheckpointPages, walKept)
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

// commitGroup is one transaction. A comparison that fails concerns its own write only; an error of SQLite undoes the
// group.
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
