// Package storage says what a gatehouse store is: an ordered map from keys to bytes with one global revision, kept
// history, watches and compaction. It is the byte-level contract under engine/objects, which turns it into Kubernetes'
// storage.Interface; implementations live in sub-packages named after their technology (sqlite), and every one of them
// passes the suite in storagetest.
//
// The package knows nothing of Kubernetes kinds, encodings or selectors.
package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AnyRevision, as Write.Expected, skips the comparison.
const AnyRevision int64 = -1

var (
	// ErrCompacted: the revision asked for is older than what the history still holds.
	ErrCompacted = errors.New("revision has been compacted")
	// ErrFutureRevision: the revision asked for has not been written yet.
	ErrFutureRevision = errors.New("revision is in the future")
	// ErrClosed: the store has been closed, or is closing.
	ErrClosed = errors.New("store is closed")
	// ErrSlowWatcher: a watcher did not take its events fast enough and was cut off; it may watch again from the last
	// revision it saw.
	ErrSlowWatcher = errors.New("watcher fell too far behind")
)

// ConflictError answers a Write whose Expected revision is not the key's, and a deletion of a key that does not
// exist. Current is what the key holds now, nil when it holds nothing. It is returned as it is, not wrapped.
type ConflictError struct {
	Key      string
	Expected int64
	Current  *Item
}

func (e *ConflictError) Error() string {
	var found int64
	if e.Current != nil {
		found = e.Current.ModRevision
	}
	return fmt.Sprintf("write %s: expected revision %d, found %d", e.Key, e.Expected, found)
}

// Item is one key at one revision. Value belongs to the store: read it, keep it, never change it.
type Item struct {
	Key            string
	Value          []byte
	CreateRevision int64
	ModRevision    int64
	// Expires is when the store deletes the key by itself, an ordinary deletion soon after that time; until then it
	// is there. Zero for never. The same in every answer, to the millisecond at least.
	Expires time.Time
}

// Write is a compare-and-write of one key.
type Write struct {
	// Key is any bytes, but not none.
	Key string
	// Value is stored as it is; the caller must not change it afterwards. Ignored when Delete is set.
	Value []byte
	// Delete removes the key. Deleting an absent key is a conflict with Current nil, whatever was expected; so a
	// deletion that expects 0 never succeeds.
	Delete bool
	// Expected is the ModRevision the key must have: 0 for "must not exist", AnyRevision for whatever it has.
	Expected int64
	// TTL is how long the key lives, counted from the commit; 0 for ever. Ignored when Delete is set.
	TTL time.Duration
}

// RangeRequest asks for the keys k with Start <= k < End in ascending byte order; an empty End is no bound, and a
// range that ends before it starts is empty. To read one key, End is Start + "\x00".
type RangeRequest struct {
	Start, End string
	// Revision reads the past exactly as it was then; 0 reads the present.
	Revision int64
	// Limit bounds the number of items; 0 for all.
	Limit int
	// CountOnly leaves Items empty and fills Count alone.
	CountOnly bool
}

// RangeResult is one consistent view.
type RangeResult struct {
	// Revision is the store's revision at which the items were read; for a read of the past, still the store's
	// current one.
	Revision int64
	Items    []Item
	// Count is how many keys the range holds at that revision, however many Limit let through.
	Count int64
	// More says that Limit cut the answer short.
	More bool
}

// Event is one committed change. Events of one revision never exist twice: a write is one event and one revision.
type Event struct {
	// Item is the key's new state. For a delete, Value is nil, Expires zero, CreateRevision what it was, and
	// ModRevision the revision of the deletion.
	Item   Item
	Delete bool
	// Previous is the state before, nil for a creation.
	Previous *Item
}

// Watcher delivers the events of one prefix in revision order, without gaps.
// It is for one goroutine. Close releases it and may be called from any goroutine, more than once.
type Watcher interface {
	// Next blocks until there is something to tell: a batch of events, oldest first, or none when only the revision
	// moved on and the watch asked for progress. revision says up to where the watcher has now seen everything, and
	// grows with every call. The slice is the caller's until the next call; what it points to is shared and must not
	// be changed.
	//
	// It ends with ctx's error, after which it may be called again, or for good with ErrSlowWatcher, ErrCompacted or
	// ErrClosed. A watcher that reads the past meets ErrCompacted when a compaction overtakes it; one that is up to
	// date never does. When the store closes, what was committed is told before ErrClosed.
	Next(ctx context.Context) (events []Event, revision int64, err error)
	Close()
}

// WatchRequest asks for all changes of keys that start with Prefix after revision After.
type WatchRequest struct {
	Prefix string
	// After is the last revision the caller has seen. It may lie in the past as far as history goes (else
	// ErrCompacted). A revision that has not been written yet is allowed: the watch then starts with the first write
	// beyond it. 0 starts at the present.
	After int64
	// Progress asks Next to return, with no events, when other prefixes have moved the revision on and the watcher is
	// idle. A store may save such reports up for a moment.
	Progress bool
}

// Observer is told of every committed batch, in commit order, before any watcher is told and before any writer in it
// is answered. It runs on the writer's goroutine: it must be quick and must not call the store. It may keep the
// events, but not change them. A read that runs at the same time may see the batch a moment earlier.
type Observer func(events []Event)

// Store is the contract. All methods are safe for concurrent use and end early, without effect, when ctx ends before
// the operation is taken up; a Write whose ctx ends later may or may not have happened, which its error says.
type Store interface {
	// Apply commits one write and returns when it is durable: on stable storage, through a crash of process or
	// machine. It returns the new state of the key (for a delete, the state that was deleted with ModRevision still
	// that of its last write) and the revision of this commit. A failed comparison is a *ConflictError and writes
	// nothing.
	Apply(ctx context.Context, w Write) (item Item, revision int64, err error)

	// Range reads at a revision; see RangeRequest. ErrCompacted and ErrFutureRevision tell of revisions it cannot
	// serve.
	Range(ctx context.Context, r RangeRequest) (RangeResult, error)

	// Watch starts a watcher; nothing committed after the request's revision is lost. ctx bounds the start alone: the
	// watcher lives until it is closed. ErrCompacted comes from here or from the first Next.
	Watch(ctx context.Context, r WatchRequest) (Watcher, error)

	// Revision is the store's current revision: that of the last commit. It never goes back, not even after a crash.
	// A new store starts at 1.
	Revision(ctx context.Context) (int64, error)

	// Compact forgets the history at and before revision, except what is needed to read at revision itself:
	// afterwards reads at, and watches after, older revisions answer ErrCompacted. It works in small steps beside
	// writers. Compacting again at the same or an older revision does nothing; one that has not been written yet is
	// ErrFutureRevision.
	Compact(ctx context.Context, revision int64) error

	// Compacted is the newest revision given to Compact, 0 if there was none; also after a restart.
	Compacted() int64

	// Close flushes what has been accepted, ends all watchers with ErrClosed and releases the files. It waits for
	// reads that are running; what comes later answers ErrClosed. Closing again is allowed.
	Close() error
}
