package storagetest

import (
	"errors"
	"fmt"
	"sync"

	"gatehouse/engine/storage"
)

var lifetimes = []check{
	{"what was written is there when the store is opened again", func(e *env) {
		s, m := e.store(), newModel()
		m.follow(e, s, story)
		e.ok(s.Compact(e.soon(), 3))
		e.ok(s.Close())
		s = e.store()
		e.same("revision", e.revision(s), m.revision)
		e.same("compacted revision", s.Compacted(), int64(3))
		for _, revision := range []int64{0, 3, 6} {
			q := storage.RangeRequest{Revision: revision}
			e.same(fmt.Sprint("state at ", revision), e.read(s, q), m.read(q))
		}
		w := e.watch(s, storage.WatchRequest{After: 3})
		m.follow(e, s, []storage.Write{{Key: "x"}})
		want := m.after(3, "")
		e.same("events", e.events(w, len(want)), want)
	}},
	{"a closed store refuses everything, and may be closed twice", func(e *env) {
		s := e.store()
		e.ok(s.Close())
		e.ok(s.Close())
		_, _, err := s.Apply(e.soon(), storage.Write{Key: "a"})
		e.is(err, storage.ErrClosed)
		_, err = s.Range(e.soon(), storage.RangeRequest{})
		e.is(err, storage.ErrClosed)
		_, err = s.Watch(e.soon(), storage.WatchRequest{})
		e.is(err, storage.ErrClosed)
		_, err = s.Revision(e.soon())
		e.is(err, storage.ErrClosed)
		e.is(s.Compact(e.soon(), 1), storage.ErrClosed)
	}},
	{"closing ends the watchers after all that was committed", func(e *env) {
		s, m := e.store(), newModel()
		live := e.watch(s, storage.WatchRequest{})
		idle := e.watch(s, storage.WatchRequest{Prefix: "none"})
		ended := make(chan error, 1)
		go func() {
			_, _, err := idle.Next(e.soon())
			ended <- err
		}()
		m.follow(e, s, story)
		e.ok(s.Close())
		e.same("events", e.events(live, len(story)), m.events)
		_, _, err := live.Next(e.soon())
		e.is(err, storage.ErrClosed)
		e.is(<-ended, storage.ErrClosed)
	}},
	{"closing beside writers, every write that was acknowledged is there and no other", func(e *env) {
		s := e.store()
		const writers = 16
		started := make(chan struct{}, writers)
		acknowledged := make([][]storage.Item, writers)
		closing := make(chan error, 1)
		go func() {
			for range writers {
				<-started
			}
			closing <- s.Close()
		}()
		e.all(writers, func(i int) error {
			for n := 0; ; n++ {
				item, _, err := s.Apply(e.soon(), storage.Write{Key: fmt.Sprintf("%d/%d", i, n)})
				if errors.Is(err, storage.ErrClosed) {
					return nil
				}
				if err != nil {
					return err
				}
				if acknowledged[i] = append(acknowledged[i], item); n == 0 {
					started <- struct{}{}
				}
			}
		})
		e.ok(<-closing)
		s = e.store()
		want := 0
		for _, items := range acknowledged {
			for _, item := range items {
				e.same("acknowledged", e.get(s, item.Key), &item)
				want++
			}
		}
		e.same("number of keys", e.read(s, storage.RangeRequest{}).Count, int64(want))
		e.same("revision", e.revision(s), int64(1+want))
	}},
	{"observers are told every event in order, before the writer is answered", func(e *env) {
		var mu sync.Mutex
		var told []storage.Event
		observe := func(events []storage.Event) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, events...)
		}
		s := e.store(func(c *Config) { c.Observers = []storage.Observer{observe} })
		e.all(8, func(i int) error {
			for n := range 20 {
				_, revision, err := s.Apply(e.soon(), storage.Write{Key: fmt.Sprintf("%d/%d", i, n)})
				if err != nil {
					return err
				}
				mu.Lock()
				newest := told[len(told)-1].Item.ModRevision
				mu.Unlock()
				if newest < revision {
					return fmt.Errorf("acknowledged revision %d before observers were told: they know %d", revision, newest)
				}
			}
			return nil
		})
		e.same("events", e.events(e.watch(s, storage.WatchRequest{After: 1}), 8*20), told)
	}},
}
