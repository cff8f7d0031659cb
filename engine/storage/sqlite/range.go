package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"

	"gatehouse/engine/storage"
)

// checkEvery is after how many rows a read looks whether its context has ended.
const checkEvery = 128

// Range implements storage.Store.
func (s *Store) Range(ctx context.Context, q storage.RangeRequest) (storage.RangeResult, error) {
	var result storage.RangeResult
	err := s.usable(ctx)
	if err == nil {
		err = s.readers.view(ctx, func(r *reader, revision, compacted int64) error {
			var err error
			result, err = rangeAt(ctx, s.path, r, q, revision, compacted)
			return err
		})
	}
	if err != nil {
		return storage.RangeResult{}, fmt.Errorf("read [%q, %q) at revision %d: %w",
			q.Start, q.End, q.Revision, s.noteFault(err))
	}
	return result, nil
}

func rangeAt(ctx context.Context, path string, r *reader, q storage.RangeRequest, revision, compacted int64) (
	storage.RangeResult, error,
) {
	result := storage.RangeResult{Revision: revision}
	var err error
	switch {
	case q.Revision < 0:
		err = fmt.Errorf("there is no revision %d", q.Revision)
	case q.Revision > revision:
		err = storage.ErrFutureRevision
	case q.Revision != 0 && q.Revision < compacted:
		err = storage.ErrCompacted
	case q.End != "" && q.End <= q.Start:
		return result, nil
	case q.Revision == 0 || q.Revision == revision:
		err = r.present(ctx, path, q, &result)
	default:
		err = r.past(ctx, path, q, &result)
	}
	return result, err
}

// present fills in what the range holds now.
func (r *reader) present(ctx context.Context, path string, q storage.RangeRequest, result *storage.RangeResult) error {
	start, end := q.Start, upper(q.End)
	if q.CountOnly {
		return r.count.each(countInto(&result.Count), start, end)
	}
	err := r.list.each(func(row []driver.Value) error {
		key, revision := row[0].(string), row[1].(int64)
		item := newItem(key, revision, row[2:])
		if item == nil {
			return missingVersion(path, key, revision)
		}
		result.Items = append(result.Items, *item)
		return checkNow(ctx, len(result.Items))
	}, start, end, limit(q))
	if err != nil {
		return err
	}
	return r.settle(q, result, r.count, start, end)
}

// past fills in what the range held at an earlier revision.
func (r *reader) past(ctx context.Context, path string, q storage.RangeRequest, result *storage.RangeResult) error {
	start, end := q.Start, upper(q.End)
	if q.CountOnly {
		return r.countPast.each(countInto(&result.Count), start, end, q.Revision)
	}
	err := r.listPast.each(func(row []driver.Value) error {
		item, err := r.version(path, row[0].(string), row[1].(int64))
		if err != nil {
			return err
		}
		result.Items = append(result.Items, *item)
		return checkNow(ctx, len(result.Items))
	}, start, end, q.Revision, limit(q))
	if err != nil {
		return err
	}
	return r.settle(q, result, r.countPast, start, end, q.Revision)
}

// version reads one state of a key.
func (r *reader) version(path, key string, revision int64) (*storage.Item, error) {
	var item *storage.Item
	err := r.get.each(func(row []driver.Value) error {
		item = newItem(key, revision, row)
		return nil
	}, revision)
	if err == nil && item == nil {
		err = missingVersion(path, key, revision)
	}
	return item, err
}

// settle fills in Count and More; only an answer as long as its limit needs to count.
func (r *reader) settle(q storage.RangeRequest, result *storage.RangeResult, count *stmt, args ...driver.Value) error {
	result.Count = int64(len(result.Items))
	if q.Limit <= 0 || len(result.Items) < q.Limit {
		return nil
	}
	err := count.each(countInto(&result.Count), args...)
	result.More = result.Count > int64(len(result.Items))
	return err
}

// limit is the LIMIT of a request, in which SQLite takes a negative number for none.
func limit(q storage.RangeRequest) int64 {
	if q.Limit <= 0 {
		return -1
	}
	return int64(q.Limit)
}

func countInto(n *int64) func([]driver.Value) error {
	return func(row []driver.Value) error {
		*n = row[0].(int64)
		return io.EOF
	}
}

func checkNow(ctx context.Context, rows int) error {
	if rows%checkEvery == 0 {
		return ctx.Err()
	}
	return nil
}
