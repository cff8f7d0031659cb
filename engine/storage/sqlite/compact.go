package sqlite

import (
	"context"
	"fmt"
	"os"
	"time"

	"gatehouse/engine/storage"
)

const (
	// compactionStep is how many rows of history one transaction of a compaction removes: a few milliseconds' work.
	compactionStep = 256
	// vacuumStep is how many free pages one transaction gives back.
	vacuumStep = 128
	// slackPages is how many free pages are always kept for the writes to come (1 MiB); above that, one in slackShare.
	slackPages, slackShare = 256, 8
)

// Compact implements storage.Store. It returns when the history is gone and the file has shrunk; if ctx ends earlier
// the rest is done by the next compaction. The revision is compacted, for good, as soon as the first step is.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	if err := s.compact(ctx, revision); err != nil {
		return fmt.Errorf("compact at revision %d: %w", revision, err)
	}
	return nil
}

func (s *Store) compact(ctx context.Context, revision int64) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if revision > s.revision.Load() {
		return storage.ErrFutureRevision
	}
	select {
	case s.compacting <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return storage.ErrClosed
	}
	defer func() { <-s.compacting }()
	if revision > s.compacted.Load() {
		if err := s.announce(ctx, revision); err != nil {
			return err
		}
	}
	if err := s.forget(ctx); err != nil {
		return err
	}
	return s.shrink(ctx)
}

// announce makes a revision the compacted one before anything of it is removed: from then on older reads are refused.
func (s *Store) announce(ctx context.Context, revision int64) error {
	err := s.writer.maintain(ctx, func(c *conn) error {
		return c.exec(fmt.Sprintf("UPDATE state SET compacted = %d", revision))
	})
	if err == nil {
		raise(&s.compacted, revision)
	}
	return err
}

// forget removes, oldest first, the rows of history at and before the compacted revision, and with each the version
// it replaced.
func (s *Store) forget(ctx context.Context) error {
	for {
		more := false
		err := s.writer.maintain(ctx, func(c *conn) (err error) {
			more, err = forgetStep(c, s.compacted.Load())
			return err
		})
		if err != nil || !more {
			return err
		}
	}
}

func forgetStep(c *conn, compacted int64) (more bool, err error) {
	row, err := c.integers(`SELECT max(revision), count(*)
		FROM (SELECT revision FROM history WHERE revision <= ? ORDER BY revision LIMIT ?)`,
		compacted, int64(compactionStep))
	if err != nil || row[1] == 0 {
		return false, err
	}
	through := row[0]
	return row[1] == compactionStep, c.exec(fmt.Sprintf(`BEGIN IMMEDIATE;
		DELETE FROM versions WHERE revision IN (SELECT previous FROM history WHERE revision <= %[1]d);
		DELETE FROM history WHERE revision <= %[1]d;
		COMMIT`, through))
}

// shrink gives free pages back, but for some slack, and empties the WAL into the database, which is when the file
// becomes shorter. A reader that still needs the WAL makes that stop short; then the next time will do.
func (s *Store) shrink(ctx context.Context) error {
	shrunk := false
	for {
		more := false
		err := s.writer.maintain(ctx, func(c *conn) (err error) {
			more, err = vacuumOnce(c)
			return err
		})
		if err != nil {
			return err
		}
		if !more {
			break
		}
		shrunk = true
	}
	if !shrunk {
		return nil
	}
	return s.checkpointer.checkpoint(ctx, "TRUNCATE")
}

// vacuumOnce returns whether it did anything.
func vacuumOnce(c *conn) (bool, error) {
	row, err := c.integers(`SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count`)
	if err != nil {
		return false, err
	}
	pages, free := row[0], row[1]
	excess := free - max(slackPages, pages/slackShare)
	if excess <= 0 {
		return false, nil
	}
	_, err = c.integers(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", min(excess, vacuumStep)))
	return true, err
}

// maintain compacts what has grown older than the retention, and looks after a store that was not closed properly.
func (s *Store) maintain(unclean bool) {
	ctx, cancel := s.untilClosing()
	defer cancel()
	s.resume(ctx)
	s.checkWhole(ctx, unclean)
	if s.options.Retention < 0 {
		return
	}
	var past timeline
	for {
		now := s.options.Clock.Now()
		past.add(now, s.revision.Load())
		if revision := past.at(now.Add(-s.options.Retention)); revision > s.compacted.Load() {
			s.compactOld(ctx, revision)
		}
		select {
		case <-s.options.Clock.Until(now.Add(s.options.CompactionInterval)):
		case <-ctx.Done():
			return
		}
	}
}

func (s *Store) compactOld(ctx context.Context, revision int64) {
	began, before := time.Now(), fileSize(s.path)
	if err := s.Compact(ctx, revision); err != nil {
		if ctx.Err() == nil {
			s.options.Logger.Error("compact database", "error", err)
		}
		return
	}
	s.options.Logger.Debug("compacted database", "revision", revision, "took", time.Since(began),
		"bytesBefore", before, "bytesAfter", fileSize(s.path))
}

// resume finishes a compaction that the last shutdown interrupted.
func (s *Store) resume(ctx context.Context) {
	if err := s.compact(ctx, s.compacted.Load()); err != nil && ctx.Err() == nil {
		s.options.Logger.Error("finish the compaction that was interrupted", "error", err)
	}
}

// fileSize is for the log: 0 when it cannot be known.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// timeline remembers which revision was current when, as far back as was last asked for.
type timeline []moment

type moment struct {
	at       time.Time
	revision int64
}

func (t *timeline) add(at time.Time, revision int64) { *t = append(*t, moment{at, revision}) }

// at is the newest revision known to be as old as a time, 0 for none. It forgets what is older still.
func (t *timeline) at(when time.Time) (revision int64) {
	for len(*t) > 0 && !(*t)[0].at.After(when) {
		revision = (*t)[0].revision
		*t = (*t)[1:]
	}
	return revision
}
