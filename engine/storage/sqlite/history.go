package sqlite

import (
	"context"
	"database/sql/driver"
	"io"

	"gatehouse/engine/storage"
)

// historyBytes bounds what one read of history brings into memory.
const historyBytes = 4 << 20

// readHistory appends to events those of a prefix after one revision and through another, at most about historyBytes
// of them, and says up to which revision it got.
func (s *Store) readHistory(ctx context.Context, prefix string, after, through int64, events []storage.Event) (
	_ []storage.Event, reached int64, err error,
) {
	bytes := int64(0)
	err = s.readers.view(ctx, func(r *reader, _, compacted int64) error {
		if after < compacted {
			return storage.ErrCompacted
		}
		reached = through
		return r.listHistory.each(func(row []driver.Value) error {
			e, err := eventOf(s.path, row)
			if err != nil {
				return err
			}
			events, bytes = append(events, e), bytes+size(e)
			if bytes >= historyBytes {
				reached = e.Item.ModRevision
				return io.EOF
			}
			return checkNow(ctx, len(events))
		}, after, through, prefix, upper(storage.PrefixEnd(prefix)))
	})
	return events, reached, s.noteFault(err)
}

// eventOf makes an event of a row of reader.listHistory: revision, key, previous, deleted, the new version, the
// previous one.
func eventOf(path string, row []driver.Value) (storage.Event, error) {
	revision, key, previous := row[0].(int64), row[1].(string), row[2].(int64)
	e := storage.Event{Delete: row[3].(int64) != 0}
	if previous != 0 {
		if e.Previous = newItem(key, previous, row[7:]); e.Previous == nil {
			return e, missingVersion(path, key, previous)
		}
	}
	if e.Delete {
		e.Item = storage.Item{Key: key, ModRevision: revision}
		if e.Previous != nil {
			e.Item.CreateRevision = e.Previous.CreateRevision
		}
		return e, nil
	}
	item := newItem(key, revision, row[4:])
	if item == nil {
		return e, missingVersion(path, key, revision)
	}
	e.Item = *item
	return e, nil
}
