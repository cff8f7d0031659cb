package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// tail is the newest commits, as many as Open compares over the tables.
const tail = `(SELECT * FROM history ORDER BY revision DESC LIMIT 64)`

// tailChecks look for contradictions of the newest commits. Each query counts violations.
var tailChecks = []relation{
	{
		"of the newest commits lack their version, or are deletions that have one",
		`SELECT count(*) FROM ` + tail + ` h LEFT JOIN versions v ON v.revision = h.revision
			WHERE h.deleted <> (v.revision IS NULL)`,
	},
	{
		"recently changed keys are not at their newest commit",
		`SELECT count(*) FROM (SELECT key, max(revision) AS newest, deleted FROM ` + tail + ` GROUP BY key) h
			LEFT JOIN current c ON c.key = h.key WHERE coalesce(c.revision, 0) <> iif(h.deleted, 0, h.newest)`,
	},
	{
		"versions are newer than the newest commit",
		`SELECT count(*) FROM versions, (` + selectPosition + `) AS p WHERE versions.revision > p.position`,
	},
}

// relation is something that must hold between the tables.
type relation struct{ problem, sql string }

// checkTail compares the newest commits over the tables, in bounded time.
func checkTail(c *conn, path string) error {
	for _, check := range tailChecks {
		if err := check.verify(c, path); err != nil {
			return err
		}
	}
	return nil
}

func (r relation) verify(c *conn, path string) error {
	row, err := c.integers(r.sql)
	if err == nil && row[0] > 0 {
		err = &DamagedError{Path: path, Cause: fmt.Errorf("%d %s", row[0], r.problem)}
	}
	return err
}

// Check reads the whole database and returns a *DamagedError when SQLite finds its pages unsound, or the tables
// contradict each other. It runs beside all else; a table at a time, so that the WAL need not grow for as long as it
// takes.
func (s *Store) Check(ctx context.Context) error {
	err := s.usable(ctx)
	for _, table := range []string{"current", "versions", "history", "state"} {
		if err == nil {
			err = s.checkTable(ctx, table)
		}
	}
	if err == nil {
		err = s.checkRelations(ctx)
	}
	if err != nil {
		return fmt.Errorf("check database: %w", s.noteFault(err))
	}
	return nil
}

func (s *Store) checkTable(ctx context.Context, table string) error {
	return s.readers.view(ctx, func(r *reader, _, _ int64) (err error) {
		check, err := r.conn.prepare(fmt.Sprintf("PRAGMA quick_check('%s')", table))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, check.close()) }()
		return check.each(func(row []driver.Value) error {
			if finding := row[0].(string); finding != "ok" {
				return &DamagedError{Path: s.path, Cause: errors.New(finding)}
			}
			return io.EOF
		})
	})
}

// relations are what must hold between the tables. Each query counts violations.
var relations = []relation{
	{
		"keys have no version, or one that expires at another time",
		`SELECT count(*) FROM current c LEFT JOIN versions v ON v.revision = c.revision WHERE v.expires IS NOT c.expires`,
	},
	{
		"versions belong to no key and no history",
		`SELECT count(*) FROM versions WHERE revision NOT IN (SELECT revision FROM current)
			AND revision NOT IN (SELECT previous FROM history)`,
	},
	{
		"commits name a previous version that is missing",
		`SELECT count(*) FROM history h LEFT JOIN versions v ON v.revision = h.previous
			WHERE h.previous > 0 AND v.revision IS NULL`,
	},
	{
		"commits have no version, or a deletion has one",
		`SELECT count(*) FROM history h LEFT JOIN versions v ON v.revision = h.revision
			WHERE h.deleted <> (v.revision IS NULL)`,
	},
	{
		"keys are behind their history",
		`SELECT count(*) FROM (SELECT key, max(revision) AS newest, deleted FROM history GROUP BY key) h
			LEFT JOIN current c ON c.key = h.key WHERE coalesce(c.revision, 0) <> iif(h.deleted, 0, h.newest)`,
	},
	{
		"keys changed after the compacted revision without history",
		`SELECT count(*) FROM current WHERE revision > (SELECT compacted FROM state)
			AND revision NOT IN (SELECT revision FROM history)`,
	},
}

func (s *Store) checkRelations(ctx context.Context) error {
	for _, relation := range relations {
		err := s.readers.view(ctx, func(r *reader, _, _ int64) error { return relation.verify(r.conn, s.path) })
		if err != nil {
			return err
		}
	}
	return nil
}

// checkWhole looks at the whole database, which opening it has not done. Writes go on meanwhile, and stop if it fails.
func (s *Store) checkWhole(ctx context.Context, unclean bool) {
	began, level := time.Now(), slog.LevelDebug
	if unclean {
		level = slog.LevelInfo
		s.options.Logger.Info("the database was not closed last time; checking it beside the work", "path", s.path)
	}
	if err := s.Check(ctx); err != nil {
		if ctx.Err() == nil {
			s.options.Logger.Error("check of the database", "error", err)
		}
		return
	}
	s.options.Logger.Log(ctx, level, "the database is sound", "path", s.path, "took", time.Since(began))
}
