package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse/engine/storage"
)

var writes = []check{
	{"a new store is at revision 1 and holds nothing", func(e *env) {
		s := e.store()
		e.same("revision", e.revision(s), int64(1))
		e.same("everything", e.read(s, storage.RangeRequest{}), storage.RangeResult{Revision: 1})
	}},
	{"a write is the next revision and returns the key's new state", func(e *env) {
		s := e.store()
		item, revision, err := s.Apply(e.soon(), storage.Write{Key: "a", Value: []byte("1")})
		e.ok(err)
		want := storage.Item{Key: "a", Value: []byte("1"), CreateRevision: 2, ModRevision: 2}
		e.same("item", item, want)
		e.same("revision of the write", revision, int64(2))
		e.same("revision of the store", e.revision(s), int64(2))
		e.same("what is read", e.get(s, "a"), &want)
	}},
	{"creating a key that exists is a conflict with what it holds", func(e *env) {
		s := e.store()
		first := e.apply(s, storage.Write{Key: "a", Value: []byte("1")})
		conflict := e.conflict(s, storage.Write{Key: "a", Value: []byte("2")})
		e.same("current", conflict.Current, &first)
		e.same("what is read", e.get(s, "a"), &first)
	}},
	{"updating at the current revision keeps the revision of creation", func(e *env) {
		s := e.store()
		first := e.put(s, "a", "1")
		e.put(s, "b", "1")
		second := e.apply(s, storage.Write{Key: "a", Value: []byte("2"), Expected: first.ModRevision})
		want := storage.Item{Key: "a", Value: []byte("2"), CreateRevision: first.CreateRevision, ModRevision: 4}
		e.same("item", second, want)
		e.same("what is read", e.get(s, "a"), &want)
	}},
	{"updating at another revision is a conflict and writes nothing", func(e *env) {
		s := e.store()
		old := e.put(s, "a", "1")
		current := e.put(s, "a", "2")
		for _, expected := range []int64{old.ModRevision, current.ModRevision + 1} {
			conflict := e.conflict(s, storage.Write{Key: "a", Value: []byte("3"), Expected: expected})
			e.same("current", conflict.Current, &current)
		}
		e.same("what is read", e.get(s, "a"), &current)
	}},
	{"updating a key that does not exist is a conflict with nothing", func(e *env) {
		s := e.store()
		conflict := e.conflict(s, storage.Write{Key: "a", Value: []byte("1"), Expected: 1})
		if conflict.Current != nil {
			e.Errorf("current is %v", conflict.Current)
		}
	}},
	{"deleting returns the state that was deleted, at a revision of its own", func(e *env) {
		s := e.store()
		item := e.put(s, "a", "1")
		deleted, revision, err := s.Apply(e.soon(), storage.Write{Key: "a", Delete: true, Expected: item.ModRevision})
		e.ok(err)
		e.same("deleted state", deleted, item)
		e.same("revision of the deletion", revision, item.ModRevision+1)
		if left := e.get(s, "a"); left != nil {
			e.Errorf("it still holds %v", left)
		}
	}},
	{"deleting at another revision is a conflict", func(e *env) {
		s := e.store()
		item := e.put(s, "a", "1")
		for _, expected := range []int64{0, 1, item.ModRevision + 1} {
			conflict := e.conflict(s, storage.Write{Key: "a", Delete: true, Expected: expected})
			e.same("current", conflict.Current, &item)
		}
	}},
	{"deleting a key that does not exist is a conflict with nothing, whatever was expected", func(e *env) {
		s := e.store()
		for _, expected := range []int64{storage.AnyRevision, 0, 1} {
			conflict := e.conflict(s, storage.Write{Key: "a", Delete: true, Expected: expected})
			if conflict.Current != nil {
				e.Errorf("current is %v", conflict.Current)
			}
		}
	}},
	{"a key created again after its deletion begins anew", func(e *env) {
		s := e.store()
		e.put(s, "a", "1")
		e.remove(s, "a")
		again := e.apply(s, storage.Write{Key: "a", Value: []byte("2")})
		e.same("item", again, storage.Item{Key: "a", Value: []byte("2"), CreateRevision: 4, ModRevision: 4})
	}},
	{"any bytes come back as they were written", func(e *env) {
		s := e.store()
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		large := bytes.Repeat(every, 3<<20/len(every))
		for key, value := range map[string][]byte{
			"empty": {}, "nil": nil, "large": large, string(every): every,
			"\x00": []byte("\x00"), "\xff\xff": []byte("\xff"),
		} {
			item := e.apply(s, storage.Write{Key: key, Value: value})
			revision := item.ModRevision
			e.same("item", item, storage.Item{Key: key, Value: value, CreateRevision: revision, ModRevision: revision})
			e.same("what is read", e.get(s, key), &item)
		}
	}},
	{"a write that makes no sense is refused and is no conflict", func(e *env) {
		s := e.store()
		for what, w := range map[string]storage.Write{
			"no key":                   {Value: []byte("1")},
			"a negative revision":      {Key: "a", Expected: -2},
			"a negative time to live":  {Key: "a", TTL: -time.Second},
			"no key, but its deletion": {Delete: true, Expected: storage.AnyRevision},
		} {
			_, _, err := s.Apply(e.soon(), w)
			var conflict *storage.ConflictError
			if err == nil || errors.As(err, &conflict) {
				e.Errorf("%s: got error %v", what, err)
			}
		}
		e.same("revision", e.revision(s), int64(1))
	}},
	{"operations whose context has ended before have no effect", func(e *env) {
		s := e.store()
		ctx, cancel := context.WithCancel(e.Context())
		cancel()
		_, _, err := s.Apply(ctx, storage.Write{Key: "a"})
		e.is(err, context.Canceled)
		_, err = s.Range(ctx, storage.RangeRequest{})
		e.is(err, context.Canceled)
		_, err = s.Watch(ctx, storage.WatchRequest{})
		e.is(err, context.Canceled)
		_, err = s.Revision(ctx)
		e.is(err, context.Canceled)
		e.is(s.Compact(ctx, 1), context.Canceled)
		e.same("revision", e.revision(s), int64(1))
	}},
	{"of writers that expect the same revision exactly one wins", func(e *env) {
		s := e.store()
		const rounds, writers = 20, 8
		current := e.put(s, "a", "").ModRevision
		for range rounds {
			var wins []int64
			var mu sync.Mutex
			e.all(writers, func(i int) error {
				item, _, err := s.Apply(e.soon(), storage.Write{Key: "a", Value: fmt.Append(nil, i), Expected: current})
				var conflict *storage.ConflictError
				if errors.As(err, &conflict) {
					return nil
				}
				mu.Lock()
				wins = append(wins, item.ModRevision)
				mu.Unlock()
				return err
			})
			if len(wins) != 1 {
				e.Fatalf("%d writers won", len(wins))
			}
			current = wins[0]
		}
		e.same("revision", e.revision(s), int64(2+rounds))
	}},
	{"comparisons that fail do not disturb the writes beside them", func(e *env) {
		s := e.store()
		e.put(s, "taken", "")
		const writers, each = 16, 20
		e.all(writers, func(i int) error {
			for n := range each {
				w := storage.Write{Key: fmt.Sprintf("%02d/%02d", i, n)}
				if i%2 == 0 {
					w.Key = "taken"
				}
				_, _, err := s.Apply(e.soon(), w)
				var conflict *storage.ConflictError
				if refused := errors.As(err, &conflict); refused != (i%2 == 0) {
					return fmt.Errorf("write of %s: %w", w.Key, err)
				}
			}
			return nil
		})
		e.same("keys", e.read(s, storage.RangeRequest{}).Count, int64(1+writers/2*each))
		e.same("revision", e.revision(s), int64(2+writers/2*each))
	}},
}

// all runs n goroutines and fails the test with the first error.
func (e *env) all(n int, run func(i int) error) {
	e.Helper()
	failures := make(chan error, n)
	for i := range n {
		go func() { failures <- run(i) }()
	}
	var first error
	for range n {
		if err := <-failures; first == nil {
			first = err
		}
	}
	e.ok(first)
}
