package storagetest

import (
	"context"
	"fmt"
	"slices"

	"gatehouse/engine/storage"
)

// story is writes of every sort, on keys of two prefixes.
var story = []storage.Write{
	{Key: "a/1", Value: []byte("1")},
	{Key: "b/1", Value: []byte("1")},
	{Key: "a/2", Value: []byte("1")},
	{Key: "a/1", Value: []byte("2"), Expected: storage.AnyRevision},
	{Key: "b/1", Delete: true, Expected: storage.AnyRevision},
	{Key: "a/2", Delete: true, Expected: storage.AnyRevision},
	{Key: "a/2", Value: []byte("2")},
	{Key: "b/1", Value: []byte("2")},
	{Key: "a/1", Delete: true, Expected: storage.AnyRevision},
}

var watches = []check{
	{"a watch tells every change of its prefix as it happens, with the state before", func(e *env) {
		s, m := e.store(), newModel()
		w := e.watch(s, storage.WatchRequest{Prefix: "a/"})
		m.follow(e, s, story)
		e.same("events", e.events(w, 6), m.after(0, "a/"))
	}},
	{"a watch from the past tells the same events as one that was there, and goes on", func(e *env) {
		s, m := e.store(), newModel()
		m.follow(e, s, story)
		for after := int64(1); after <= m.revision; after++ {
			w := e.watch(s, storage.WatchRequest{Prefix: "a/", After: after})
			want := m.after(after, "a/")
			e.same(fmt.Sprint("events after ", after), e.events(w, len(want)), want)
		}
		late := e.watch(s, storage.WatchRequest{Prefix: "b/", After: 2})
		m.follow(e, s, []storage.Write{
			{Key: "b/2", Value: []byte("1")}, {Key: "a/3"}, {Key: "b/2", Delete: true, Expected: storage.AnyRevision},
		})
		want := m.after(2, "b/")
		e.same("events", e.events(late, len(want)), want)
	}},
	{"a watch without a revision starts at the present", func(e *env) {
		s, m := e.store(), newModel()
		m.follow(e, s, story)
		past := m.revision
		w := e.watch(s, storage.WatchRequest{})
		m.follow(e, s, []storage.Write{{Key: "x"}, {Key: "a/9"}})
		e.same("events", e.events(w, 2), m.after(past, ""))
	}},
	{"a watch from the future starts with the first write beyond it", func(e *env) {
		s, m := e.store(), newModel()
		w := e.watch(s, storage.WatchRequest{Prefix: "a/", After: 7, Progress: true})
		m.follow(e, s, story)
		want := m.after(7, "a/")
		e.same("events", e.eventsAfter(w, len(want), 7), want)
	}},
	{"a prefix is told from one that only begins alike", func(e *env) {
		s := e.store()
		prefixes := []string{"", "a", "a/", "a/b", "a/b/", "a/bc", "b", "a\xff", "\xff"}
		watchers := map[string]storage.Watcher{}
		for _, prefix := range prefixes {
			watchers[prefix] = e.watch(s, storage.WatchRequest{Prefix: prefix})
		}
		m := newModel()
		for _, key := range []string{"a", "a/", "a/b", "a/b/c", "a/bc", "b", "a\xff\xff", "\xff\xff", "c"} {
			m.follow(e, s, []storage.Write{{Key: key}})
		}
		for _, prefix := range prefixes {
			want := m.after(0, prefix)
			e.same(fmt.Sprintf("live events of %q", prefix), e.events(watchers[prefix], len(want)), want)
			again := e.watch(s, storage.WatchRequest{Prefix: prefix, After: 1})
			e.same(fmt.Sprintf("past events of %q", prefix), e.events(again, len(want)), want)
		}
	}},
	{"progress is told when other prefixes have moved the revision on", func(e *env) {
		s := e.store()
		w := e.watch(s, storage.WatchRequest{Prefix: "a/", Progress: true})
		for range 3 {
			want := e.put(s, "b/1", "").ModRevision
			for seen := int64(0); seen < want; {
				events, revision, err := w.Next(e.soon())
				e.ok(err)
				if len(events) > 0 || revision <= seen || revision > want {
					e.Fatalf("got %d events and revision %d after %d, want none and %d at most",
						len(events), revision, seen, want)
				}
				seen = revision
			}
		}
		item := e.put(s, "a/1", "")
		e.same("events", e.eventsAfter(w, 1, 1), []storage.Event{{Item: item}})
	}},
	{"progress is told to a watch from the past in which nothing of its prefix happened", func(e *env) {
		s := e.store()
		want := e.put(s, "b/1", "").ModRevision
		w := e.watch(s, storage.WatchRequest{Prefix: "a/", After: 1, Progress: true})
		events, revision, err := w.Next(e.soon())
		e.ok(err)
		if len(events) > 0 || revision != want {
			e.Errorf("got %d events and revision %d, want none and %d", len(events), revision, want)
		}
	}},
	{"a watcher that takes nothing is cut off, and neither writers nor other watchers notice", func(e *env) {
		s := e.store(func(c *Config) { c.WatchEvents = 4 })
		slow := e.watch(s, storage.WatchRequest{Prefix: "a/"})
		other := e.watch(s, storage.WatchRequest{Prefix: "a/"})
		for i := range 20 {
			item := e.put(s, fmt.Sprint("a/", i), "")
			e.same("event", e.events(other, 1), []storage.Event{{Item: item}})
		}
		var err error
		for err == nil {
			_, _, err = slow.Next(e.soon())
		}
		e.is(err, storage.ErrSlowWatcher)
		_, _, err = slow.Next(e.soon())
		e.is(err, storage.ErrSlowWatcher)
	}},
	{"a watcher that was cut off can go on from the last revision it saw", func(e *env) {
		s := e.store(func(c *Config) { c.WatchEvents = 4 })
		w := e.watch(s, storage.WatchRequest{})
		first := e.put(s, "a", "")
		e.events(w, 1)
		for range 20 {
			e.put(s, "b", "")
		}
		_, _, err := w.Next(e.soon())
		e.is(err, storage.ErrSlowWatcher)
		again := e.watch(s, storage.WatchRequest{After: first.ModRevision})
		if got := e.events(again, 20); got[0].Item.ModRevision != first.ModRevision+1 {
			e.Errorf("went on at %d after %d", got[0].Item.ModRevision, first.ModRevision)
		}
	}},
	{"a watcher far behind is never cut off while it reads the past", func(e *env) {
		s, m := e.store(func(c *Config) { c.WatchEvents = 4 }), newModel()
		for i := range 50 {
			m.follow(e, s, []storage.Write{{Key: fmt.Sprint("k", i), Value: []byte("v")}})
		}
		w := e.watch(s, storage.WatchRequest{After: 1})
		e.same("events", e.events(w, 50), m.after(1, ""))
	}},
	{"Next ends with its context, and the watcher lives on", func(e *env) {
		s := e.store()
		w := e.watch(s, storage.WatchRequest{})
		ctx, cancel := context.WithCancel(e.Context())
		ended := make(chan error, 1)
		go func() {
			_, _, err := w.Next(ctx)
			ended <- err
		}()
		cancel()
		e.is(<-ended, context.Canceled)
		item := e.put(s, "a", "")
		e.same("event", e.events(w, 1), []storage.Event{{Item: item}})
	}},
	{"closing a watcher ends its Next, and may be done twice", func(e *env) {
		s := e.store()
		w := e.watch(s, storage.WatchRequest{})
		ended := make(chan error, 1)
		go func() {
			_, _, err := w.Next(e.soon())
			ended <- err
		}()
		w.Close()
		w.Close()
		e.is(<-ended, storage.ErrClosed)
		e.put(s, "a", "")
		_, _, err := w.Next(e.soon())
		e.is(err, storage.ErrClosed)
	}},
	{"the batch of one Next is untouched by what is written later", func(e *env) {
		s, m := e.store(), newModel()
		w := e.watch(s, storage.WatchRequest{})
		m.follow(e, s, story[:1])
		batch, _, err := w.Next(e.soon())
		e.ok(err)
		m.follow(e, s, story[1:])
		e.same("first batch", batch, m.events[:1])
		clear(batch) // it is the caller's
		e.same("the rest", e.events(w, len(story)-1), m.events[1:])
	}},
	{"many watchers of many prefixes each see theirs", func(e *env) {
		s, m := e.store(), newModel()
		const prefixes, each = 50, 20
		watchers := map[storage.Watcher]string{}
		for i := range prefixes * each {
			prefix := fmt.Sprintf("%d/", i%prefixes)
			watchers[e.watch(s, storage.WatchRequest{Prefix: prefix})] = prefix
		}
		for i := range 2 * prefixes {
			m.follow(e, s, []storage.Write{{Key: fmt.Sprintf("%d/%d", i%prefixes, i)}})
		}
		for w, prefix := range watchers {
			e.same("events of "+prefix, e.events(w, 2), m.after(1, prefix))
		}
	}},
}

// eventsAfter takes n events from a watcher that is told progress too, which must move on from a revision.
func (e *env) eventsAfter(w storage.Watcher, n int, seen int64) []storage.Event {
	e.Helper()
	var all []storage.Event
	for len(all) < n {
		batch, revision, err := w.Next(e.soon())
		e.ok(err)
		if revision <= seen {
			e.Fatalf("Next went from revision %d to %d", seen, revision)
		}
		seen, all = revision, slices.Concat(all, batch)
	}
	return all
}
