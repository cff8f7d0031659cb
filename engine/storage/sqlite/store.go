package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"gatehouse/engine/storage"
)

// Store is a storage.Store in one SQLite file. Open makes one; Close ends it and every goroutine it started.
type Store struct {
	path    string
	options Options

	lock         *os.File
	writer       *writer
	readers      *readers
	checkpointer *checkpointer
	hub          *hub
	alarm        *alarm

	// revision is the newest revision anybody has been shown; it may run ahead of the hub by what a reader saw in the
	// database before the writer came to publish it.
	revision  atomic.Int64
	compacted atomic.Int64
	// fault is the first error after which no more is written; nil while all is well.
	fault atomic.Pointer[error]

	// compacting holds a token while a compaction runs: one at a time.
	compacting chan struct{}

	// closing is closed when Close begins: nothing new is accepted, and the background ends.
	closing    chan struct{}
	closeOnce  sync.Once
	closeError error
	background sync.WaitGroup
}

var _ storage.Store = (*Store)(nil)

// Open opens the database at path, or makes a new one, and takes it for itself: a second Open gives an *InUseError.
// ctx bounds the opening alone; the store lives until Close. A damaged file gives a *DamagedError, one that is not
// ours or newer than this binary a *FormatError.
func Open(ctx context.Context, path string, options Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s := &Store{
		path: path, options: options.withDefaults(),
		alarm: newAlarm(), compacting: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open database: %w", errors.Join(explain(path, err), s.release()))
	}
	return s, nil
}

// open leaves what it has acquired in s, also when it fails.
func (s *Store) open() (err error) {
	if s.lock, err = lock(s.path); err != nil {
		return err
	}
	if err := prepareFile(s.path); err != nil {
		return err
	}
	unclean, err := leftUnclean(s.path)
	if err != nil {
		return err
	}
	s.readers = newReaders(s)
	s.checkpointer = newCheckpointer(s)
	if s.writer, err = newWriter(s); err != nil {
		return err
	}
	revision, compacted, err := s.writer.position()
	if err != nil {
		return err
	}
	if err := checkTail(s.writer.conn, s.path); err != nil {
		return err
	}
	s.writer.revision = revision
	s.revision.Store(revision)
	s.compacted.Store(compacted)
	s.hub = newHub(s, revision)
	s.start(unclean)
	return nil
}

// start begins the goroutines that Close waits for.
func (s *Store) start(unclean bool) {
	s.background.Go(s.writer.run)
	s.background.Go(s.checkpointer.run)
	s.background.Go(s.hub.reportProgress)
	s.background.Go(s.expire)
	s.background.Go(func() { s.maintain(unclean) })
}

// Revision implements storage.Store.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	if err := s.usable(ctx); err != nil {
		return 0, fmt.Errorf("read revision: %w", err)
	}
	return s.revision.Load(), nil
}

// Compacted implements storage.Store.
func (s *Store) Compacted() int64 { return s.compacted.Load() }

// Healthy is nil while the store can do all it is meant to, and otherwise says why it accepts no more writes. A fault
// stays until the store is opened anew.
func (s *Store) Healthy() error {
	if err := s.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// fail keeps the first fault and logs it.
func (s *Store) fail(err error) {
	err = fmt.Errorf("the store accepts no more writes until it is restarted: %w", err)
	if s.fault.CompareAndSwap(nil, &err) {
		s.options.Logger.Error("database fault", "error", err)
	}
}

// noteFault looks at the error of a read: damage found by reading ends writing too.
func (s *Store) noteFault(err error) error {
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		s.fail(err)
	}
	return err
}

// saw makes sure that Revision and Compacted never answer less than a reader was shown.
func (s *Store) saw(revision, compacted int64) {
	raise(&s.revision, revision)
	raise(&s.compacted, compacted)
}

func raise(n *atomic.Int64, to int64) {
	for {
		known := n.Load()
		if known >= to || n.CompareAndSwap(known, to) {
			return
		}
	}
}

// usable tells why an operation must not start.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closing:
		return storage.ErrClosed
	default:
		return ctx.Err()
	}
}

// Close implements storage.Store. It commits what has been accepted, ends the watchers once they have taken what was
// committed, waits for reads that are running, and empties the WAL into the database.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.background.Wait()
		s.hub.close()
		if err := s.release(); err != nil {
			s.closeError = fmt.Errorf("close database: %w", explain(s.path, err))
		}
	})
	return s.closeError
}

// release gives back what open acquired. The lock goes last, when no connection is left.
func (s *Store) release() error {
	var failures []error
	if s.readers != nil {
		failures = append(failures, s.readers.close())
	}
	if s.checkpointer != nil {
		failures = append(failures, s.checkpointer.close())
	}
	if s.writer != nil {
		failures = append(failures, s.writer.close())
	}
	if s.lock != nil {
		failures = append(failures, s.lock.Close())
	}
	return errors.Join(failures...)
}
