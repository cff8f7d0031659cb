package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/mattn/go-sqlite3"
)

// busyTimeout is how long an operation waits for another program, such as the sqlite3 shell, to give up a lock.
const busyTimeout = 5 * time.Second

// conn is one connection to SQLite. It and its statements belong to one goroutine at a time.
type conn struct {
	db *sqlite3.SQLiteConn
	// kept are the prepared statements. A connection that is closed before they are lives on inside SQLite, and the
	// WAL of the last one is not copied back.
	kept []*stmt
}

// connect opens the database at an absolute path, which must exist. cacheBytes bounds its page cache.
func connect(path string, cacheBytes int64, readOnly bool) (*conn, error) {
	query := url.Values{
		"mode":          {"rw"},
		"_mutex":        {"no"},
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_synchronous":  {"FULL"},
		"_cache_size":   {fmt.Sprint(-max(cacheBytes>>10, 64))},
	}
	if readOnly {
		query.Set("_query_only", "true")
	}
	name := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	db, err := (&sqlite3.SQLiteDriver{}).Open(name.String())
	if err != nil {
		return nil, err
	}
	return &conn{db: db.(*sqlite3.SQLiteConn)}, nil
}

func (c *conn) close() error {
	var failures []error
	for _, s := range c.kept {
		failures = append(failures, s.close())
	}
	return errors.Join(append(failures, c.db.Close())...)
}

// exec runs statements that are not worth preparing.
func (c *conn) exec(sql string) error {
	_, err := c.db.Exec(sql, nil)
	return err
}

// idle tells whether no transaction is open.
func (c *conn) idle() bool { return c.db.AutoCommit() }

// rollback ends a transaction if there is one; SQLite has already done so after some errors.
func (c *conn) rollback() error {
	if c.idle() {
		return nil
	}
	return c.exec("ROLLBACK")
}

// integers runs a query and gives the integers of its first row, nil when there is none.
func (c *conn) integers(sql string, args ...driver.Value) (row []int64, err error) {
	s, err := c.prepare(sql)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	err = s.each(func(values []driver.Value) error {
		for _, v := range values {
			n, _ := v.(int64)
			row = append(row, n)
		}
		return io.EOF
	}, args...)
	return row, err
}

// stmt is a prepared statement that is kept. The driver's Query takes one call into C for all of reset, bind and
// step, its Exec one per argument: hence everything here goes through Query.
type stmt struct {
	s   *sqlite3.SQLiteStmt
	row []driver.Value
}

func (c *conn) prepare(sql string) (*stmt, error) {
	s, err := c.db.Prepare(sql)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", sql, err)
	}
	return &stmt{s: s.(*sqlite3.SQLiteStmt)}, nil
}

// prepareAll fills the statements of a connection.
func (c *conn) prepareAll(wanted map[**stmt]string) error {
	for target, sql := range wanted {
		s, err := c.prepare(sql)
		if err != nil {
			return err
		}
		*target = s
		c.kept = append(c.kept, s)
	}
	return nil
}

// exec runs a statement that gives no rows.
func (s *stmt) exec(args ...driver.Value) error {
	rows, err := s.s.Query(args)
	if err != nil {
		return err
	}
	return rows.Close()
}

// each calls row for every row; the slice is valid during the call, the strings and bytes in it for ever. row may
// return io.EOF to stop.
func (s *stmt) each(row func([]driver.Value) error, args ...driver.Value) error {
	rows, err := s.s.Query(args)
	if err != nil {
		return err
	}
	if s.row == nil {
		s.row = make([]driver.Value, len(rows.Columns()))
	}
	for err == nil {
		if err = rows.Next(s.row); err == nil {
			err = row(s.row)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

func (s *stmt) close() error { return s.s.Close() }
