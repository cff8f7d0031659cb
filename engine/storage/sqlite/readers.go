package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"gatehouse/engine/storage"
)

// readers is a bounded pool of connections that read. They are opened when first needed.
type readers struct {
	path       string
	cacheBytes int64
	// slots holds one element per reader that may be used now; nil stands for one that is not open.
	slots chan *reader
	// closing ends the waiting for a slot.
	closing <-chan struct{}
	// saw is told the position of every view before it is used.
	saw func(revision, compacted int64)
}

func newReaders(s *Store) *readers {
	p := &readers{
		path: s.path, cacheBytes: s.options.CacheBytes / 8, slots: make(chan *reader, s.options.Readers),
		closing: s.closing, saw: s.saw,
	}
	for range cap(p.slots) {
		p.slots <- nil
	}
	return p
}

// view calls read with a reader in a transaction: one unchanging state of the database, with its revision and
// compacted revision.
func (p *readers) view(ctx context.Context, read func(r *reader, revision, compacted int64) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	var r *reader
	select {
	case r = <-p.slots:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closing:
		return storage.ErrClosed
	}
	defer func() { p.slots <- r }()
	if r == nil {
		if r, err = newReader(p.path, p.cacheBytes); err != nil {
			return explain(p.path, err)
		}
	}
	err = r.view(func(r *reader, revision, compacted int64) error {
		p.saw(revision, compacted)
		return read(r, revision, compacted)
	})
	if !r.conn.idle() { // its transaction could not be ended
		err, r = errors.Join(err, r.conn.close()), nil
	}
	return explain(p.path, err)
}

// close waits for the reads that are running and closes the connections. closing must be closed.
func (p *readers) close() error {
	var failures []error
	for range cap(p.slots) {
		if r := <-p.slots; r != nil {
			failures = append(failures, r.conn.close())
		}
	}
	return errors.Join(failures...)
}

// reader is one connection that reads. One goroutine uses it at a time.
type reader struct {
	conn *conn

	begin, end, getPosition  *stmt
	list, count              *stmt
	listPast, countPast, get *stmt
	listHistory, listExpired *stmt
	nextExpiry               *stmt
}

// pastKeys are the keys of a range as they were at revision ?3 with their versions then: those that have not changed
// since, and of the others what their first change replaced.
const pastKeys = `
	SELECT key, revision FROM current WHERE key >= ?1 AND key < ?2 AND revision <= ?3
	UNION ALL
	SELECT key, previous FROM history WHERE revision > ?3 AND previous BETWEEN 1 AND ?3 AND key >= ?1 AND key < ?2`

func newReader(path string, cacheBytes int64) (*reader, error) {
	c, err := connect(path, cacheBytes, true)
	if err != nil {
		return nil, err
	}
	r := &reader{conn: c}
	err = c.prepareAll(map[**stmt]string{
		&r.begin:       `BEGIN`,
		&r.end:         `COMMIT`,
		&r.getPosition: selectPosition,
		&r.list: `SELECT c.key, c.revision, v.created, v.expires, v.value
			FROM current c LEFT JOIN versions v ON v.revision = c.revision
			WHERE c.key >= ?1 AND c.key < ?2 ORDER BY c.key LIMIT ?3`,
		&r.count:     `SELECT count(*) FROM current WHERE key >= ?1 AND key < ?2`,
		&r.listPast:  pastKeys + ` ORDER BY key LIMIT ?4`,
		&r.countPast: `SELECT count(*) FROM (` + pastKeys + `)`,
		&r.get:       `SELECT created, expires, value FROM versions WHERE revision = ?`,
		&r.listHistory: `SELECT h.revision, h.key, h.previous, h.deleted,
				n.created, n.expires, n.value, p.created, p.expires, p.value
			FROM history h
			LEFT JOIN versions n ON n.revision = h.revision LEFT JOIN versions p ON p.revision = h.previous
			WHERE h.revision > ?1 AND h.revision <= ?2 AND h.key >= ?3 AND h.key < ?4 ORDER BY h.revision`,
		&r.listExpired: `SELECT key, revision FROM current WHERE expires > 0 AND expires <= ?1 ORDER BY expires LIMIT ?2`,
		&r.nextExpiry:  `SELECT min(expires) FROM current WHERE expires > 0`,
	})
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return r, nil
}

func (r *reader) view(read func(r *reader, revision, compacted int64) error) (err error) {
	if err := r.begin.exec(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.leave(err)) }()
	var revision, compacted int64
	err = r.getPosition.each(func(row []driver.Value) error {
		revision, compacted = row[0].(int64), row[1].(int64)
		return nil
	})
	if err != nil {
		return err
	}
	return read(r, revision, compacted)
}

// leave ends the transaction, whatever has become of it.
func (r *reader) leave(err error) error {
	if err != nil {
		return r.conn.rollback()
	}
	return r.end.exec()
}

// upper is the bound of a range's end as SQLite compares it: no bound is the empty blob, which is above all text.
func upper(end string) driver.Value {
	if end == "" {
		return []byte{}
	}
	return end
}
