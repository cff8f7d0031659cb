package storagetest

import (
	"fmt"
	"time"

	"gatehouse/engine/storage"
)

// expiring opens a store whose time is the clock's.
func (e *env) expiring(clock *Clock) storage.Store {
	return e.store(func(c *Config) { c.Clock = clock })
}

var expiries = []check{
	{"a key with a time to live says when it expires", func(e *env) {
		clock := NewClock()
		s := e.expiring(clock)
		began := clock.Now()
		item := e.apply(s, storage.Write{Key: "a", TTL: time.Minute})
		if late := item.Expires.Sub(began.Add(time.Minute)); late < 0 || late > time.Second {
			e.Errorf("it expires %s late", late)
		}
		e.same("what is read", e.get(s, "a"), &item)
		again := e.watch(s, storage.WatchRequest{After: 1})
		e.same("event of the past", e.events(again, 1), []storage.Event{{Item: item}})
	}},
	{"when the time has come the key is deleted, as by anybody", func(e *env) {
		clock := NewClock()
		s := e.expiring(clock)
		w := e.watch(s, storage.WatchRequest{})
		item := e.apply(s, storage.Write{Key: "a", Value: []byte("1"), TTL: time.Minute})
		lasting := e.put(s, "b", "")
		e.events(w, 2)
		clock.Advance(time.Minute + time.Second)
		e.same("event", e.events(w, 1), []storage.Event{{
			Item:   storage.Item{Key: "a", CreateRevision: item.CreateRevision, ModRevision: lasting.ModRevision + 1},
			Delete: true, Previous: &item,
		}})
		e.same("what is left", keysOf(e.read(s, storage.RangeRequest{}).Items), []string{"b"})
		before := e.read(s, storage.RangeRequest{Revision: lasting.ModRevision})
		e.same("what was before", keysOf(before.Items), []string{"a", "b"})
	}},
	{"a key that was renewed, or made to last, does not expire at its first time", func(e *env) {
		clock := NewClock()
		s := e.expiring(clock)
		w := e.watch(s, storage.WatchRequest{})
		for _, key := range []string{"renewed", "lasting", "expiring"} {
			e.apply(s, storage.Write{Key: key, TTL: time.Minute})
		}
		e.apply(s, storage.Write{Key: "renewed", TTL: time.Hour, Expected: storage.AnyRevision})
		lasting := e.put(s, "lasting", "")
		if !lasting.Expires.IsZero() {
			e.Errorf("the lasting key expires at %s", lasting.Expires)
		}
		e.events(w, 5)
		clock.Advance(2 * time.Minute)
		e.same("the first to go", e.events(w, 1)[0].Item.Key, "expiring")
		clock.Advance(time.Hour)
		e.same("the second to go", e.events(w, 1)[0].Item.Key, "renewed")
		e.same("what is left", keysOf(e.read(s, storage.RangeRequest{}).Items), []string{"lasting"})
	}},
	{"a shorter life that begins later ends first", func(e *env) {
		clock := NewClock()
		s := e.expiring(clock)
		e.apply(s, storage.Write{Key: "long", TTL: time.Hour})
		e.apply(s, storage.Write{Key: "short", TTL: time.Minute})
		w := e.watch(s, storage.WatchRequest{})
		clock.Advance(2 * time.Minute)
		e.same("the first to go", e.events(w, 1)[0].Item.Key, "short")
	}},
	{"many keys expire at once", func(e *env) {
		clock := NewClock()
		s := e.expiring(clock)
		const keys = 700
		e.all(16, func(i int) error {
			for n := i; n < keys; n += 16 {
				if _, _, err := s.Apply(e.soon(), storage.Write{Key: fmt.Sprint("k", n), TTL: time.Minute}); err != nil {
					return err
				}
			}
			return nil
		})
		w := e.watch(s, storage.WatchRequest{})
		clock.Advance(2 * time.Minute)
		for _, event := range e.events(w, keys) {
			if !event.Delete {
				e.Fatalf("%v is no deletion", event)
			}
		}
		e.same("keys left", e.read(s, storage.RangeRequest{}).Count, int64(0))
	}},
	{"what expired while the store was closed is deleted when it is opened", func(e *env) {
		clock := NewClock()
		s := e.expiring(clock)
		item := e.apply(s, storage.Write{Key: "a", TTL: time.Minute})
		e.ok(s.Close())
		clock.Advance(time.Hour)
		s = e.expiring(clock)
		w := e.watch(s, storage.WatchRequest{After: item.ModRevision})
		event := e.events(w, 1)[0]
		if !event.Delete || event.Item.ModRevision != item.ModRevision+1 {
			e.Errorf("got %+v, want the deletion at %d", event, item.ModRevision+1)
		}
	}},
}
