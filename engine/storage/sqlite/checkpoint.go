package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gatehouse/engine/storage"
)

const (
	// checkpointPages is after about how many pages in the WAL (4 MiB) they are copied into the database.
	checkpointPages = 1024
	// leftoverPages is how many pages the writer may be left to copy by itself.
	leftoverPages = 64
	// checkpointPasses bounds the chase after a writer that writes as fast as is copied.
	checkpointPasses = 8
	// writerCheckpointPages is where the writer stops and copies everything by itself (32 MiB), so that a disk that
	// cannot keep up slows the writers down instead of filling up.
	writerCheckpointPages = 8 * checkpointPages
	// walKept is what the WAL file may keep on disk once its content has been copied: writing over a file is faster
	// than growing it.
	walKept = 8 << 20

	pageBytes = 4096
)

// checkpointer copies the WAL into the database beside the writer. SQLite does so on the writer's time by default:
// every few hundred commits one of them would wait for a few megabytes of scattered writes and two fsyncs, a second
// on an SD card. The WAL can start afresh only when all of it has been copied, which under load is true only while
// the writer pauses; so the writer copies the last few pages, when the checkpointer has brought them down to a few.
type checkpointer struct {
	store *Store
	// due holds a token when the WAL has grown.
	due chan struct{}

	mu   sync.Mutex // guards conn
	conn *conn      // nil until it is first needed
}

func newCheckpointer(s *Store) *checkpointer {
	return &checkpointer{store: s, due: make(chan struct{}, 1)}
}

// grew is the writer's, after each commit: it estimates how long the WAL has become. All of a commit's pages count,
// also those that an earlier commit wrote too.
func (w *writer) grew(events []storage.Event) {
	for _, e := range events {
		w.walPages += 3 + len(e.Item.Value)/pageBytes
	}
	if w.walPages >= checkpointPages {
		select {
		case w.store.checkpointer.due <- struct{}{}:
		default: // it has been told already
		}
	}
}

func (c *checkpointer) run() {
	ctx, cancel := c.store.untilClosing()
	defer cancel()
	for {
		select {
		case <-c.due:
		case <-ctx.Done():
			return
		}
		if err := c.checkpoint(ctx, "PASSIVE"); err != nil && ctx.Err() == nil {
			c.store.options.Logger.Error("checkpoint", "error", err)
		}
	}
}

// checkpoint copies what it can, and has the writer copy the rest in a mode of PRAGMA wal_checkpoint.
func (c *checkpointer) checkpoint(ctx context.Context, mode string) error {
	if err := c.copyPages(); err != nil {
		return explain(c.store.path, err)
	}
	return c.store.writer.maintain(ctx, func(conn *conn) error {
		c.store.writer.walPages = 0
		return checkpointRest(conn, mode)
	})
}

func (c *checkpointer) copyPages() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		if c.conn, err = connect(c.store.path, 0, false); err != nil {
			return err
		}
	}
	for range checkpointPasses {
		row, err := c.conn.integers("PRAGMA wal_checkpoint(PASSIVE)")
		if err != nil {
			return err
		}
		busy, pages, copied := row[0], row[1], row[2]
		if busy != 0 || pages-copied <= leftoverPages {
			return nil
		}
	}
	return nil
}

// checkpointRest never waits for readers: a mode that needs them gone does without what they hold up.
func checkpointRest(c *conn, mode string) error {
	if err := c.exec("PRAGMA busy_timeout = 0"); err != nil {
		return err
	}
	_, err := c.integers(fmt.Sprintf("PRAGMA wal_checkpoint(%s)", mode))
	return errors.Join(err, c.exec(fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds())))
}

func (c *checkpointer) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	return c.conn.close()
}
