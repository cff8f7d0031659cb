package sqlite

import (
	"database/sql/driver"
	"fmt"
	"time"

	"gatehouse/engine/storage"
)

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

// newItem makes an item of a key, a revision, and the columns created, expires, value; nil when these are NULL
// because there is no such version.
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
