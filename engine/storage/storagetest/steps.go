package storagetest

import (
	"bytes"
	"errors"
	"reflect"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/engine/storage"
)

// Steps that checks are made of. Each fails the test when the store does.

func (e *env) apply(s storage.Store, w storage.Write) storage.Item {
	e.Helper()
	item, _, err := s.Apply(e.soon(), w)
	e.ok(err)
	return item
}

// put writes whatever the key holds.
func (e *env) put(s storage.Store, key, value string) storage.Item {
	e.Helper()
	return e.apply(s, storage.Write{Key: key, Value: []byte(value), Expected: storage.AnyRevision})
}

// remove deletes the key and returns the revision of the deletion.
func (e *env) remove(s storage.Store, key string) int64 {
	e.Helper()
	_, revision, err := s.Apply(e.soon(), storage.Write{Key: key, Delete: true, Expected: storage.AnyRevision})
	e.ok(err)
	return revision
}

func (e *env) read(s storage.Store, q storage.RangeRequest) storage.RangeResult {
	e.Helper()
	result, err := s.Range(e.soon(), q)
	e.ok(err)
	return result
}

// get reads one key, nil when it does not exist.
func (e *env) get(s storage.Store, key string) *storage.Item {
	e.Helper()
	result := e.read(s, storage.RangeRequest{Start: key, End: key + "\x00"})
	if len(result.Items) == 0 {
		return nil
	}
	return &result.Items[0]
}

func (e *env) revision(s storage.Store) int64 {
	e.Helper()
	revision, err := s.Revision(e.soon())
	e.ok(err)
	return revision
}

func (e *env) watch(s storage.Store, q storage.WatchRequest) storage.Watcher {
	e.Helper()
	w, err := s.Watch(e.soon(), q)
	e.ok(err)
	e.Cleanup(w.Close)
	return w
}

// events takes the next n events, and expects no more than these to come with them.
func (e *env) events(w storage.Watcher, n int) []storage.Event {
	e.Helper()
	var all []storage.Event
	for len(all) < n {
		batch, revision, err := w.Next(e.soon())
		if err != nil {
			e.Fatalf("after %d of %d events: %v", len(all), n, err)
		}
		all = append(all, batch...)
		if len(all) > 0 && revision < all[len(all)-1].Item.ModRevision {
			e.Fatalf("Next says it has seen up to %d, with an event of %d", revision, all[len(all)-1].Item.ModRevision)
		}
	}
	if len(all) > n {
		e.Fatalf("got %d events, want %d", len(all), n)
	}
	return all
}

// watchError is how a watch ends that should end: at once, or when its first event is asked for.
func (e *env) watchError(s storage.Store, q storage.WatchRequest) error {
	e.Helper()
	w, err := s.Watch(e.soon(), q)
	if err != nil {
		return err
	}
	defer w.Close()
	_, _, err = w.Next(e.soon())
	return err
}

// conflict expects a write to be refused, and returns what it was refused with.
func (e *env) conflict(s storage.Store, w storage.Write) *storage.ConflictError {
	e.Helper()
	before := e.revision(s)
	_, _, err := s.Apply(e.soon(), w)
	var conflict *storage.ConflictError
	if !errors.As(err, &conflict) {
		e.Fatalf("got error %v, want a conflict", err)
	}
	if conflict.Key != w.Key || conflict.Expected != w.Expected {
		e.Errorf("the conflict is about %s at %d, want %s at %d", conflict.Key, conflict.Expected, w.Key, w.Expected)
	}
	if after := e.revision(s); after != before {
		e.Errorf("the refused write moved the revision from %d to %d", before, after)
	}
	return conflict
}

func (e *env) same(what string, got, want any) {
	e.Helper()
	if reflect.DeepEqual(got, want) { // much faster than the difference, which takes nil and empty for equal
		return
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), quickBytes()); diff != "" {
		e.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (e *env) is(err, want error) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Errorf("got error %v, want %v", err, want)
	}
}

func keysOf(items []storage.Item) []string {
	keys := make([]string, len(items))
	for i, item := range items {
		keys[i] = item.Key
	}
	return keys
}

// quickBytes compares values at once; cmp would look for differences byte by byte. It leaves empty ones to
// cmpopts.EquateEmpty.
func quickBytes() cmp.Option {
	return cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) > 0 }, cmp.Comparer(bytes.Equal))
}
