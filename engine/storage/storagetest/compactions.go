package storagetest

import (
	"fmt"

	"gatehouse/engine/storage"
)

var compactions = []check{
	{"reads before the compacted revision are refused, those at it and after are as they were", func(e *env) {
		s, m := e.store(), newModel()
		m.follow(e, s, story)
		for compacted := int64(2); compacted <= m.revision; compacted++ {
			e.ok(s.Compact(e.soon(), compacted))
			e.same("compacted revision", s.Compacted(), compacted)
			for revision := int64(1); revision <= m.revision; revision++ {
				q := storage.RangeRequest{Revision: revision}
				if revision < compacted {
					_, err := s.Range(e.soon(), q)
					e.is(err, storage.ErrCompacted)
					continue
				}
				e.same(fmt.Sprintf("state at %d, compacted at %d", revision, compacted), e.read(s, q), m.read(q))
			}
			e.same("present", e.read(s, storage.RangeRequest{}), m.read(storage.RangeRequest{}))
			e.same("revision", e.revision(s), m.revision)
		}
	}},
	{"watches after older revisions than the compacted one are refused, others are complete", func(e *env) {
		s, m := e.store(), newModel()
		m.follow(e, s, story)
		const compacted = 5
		e.ok(s.Compact(e.soon(), compacted))
		for after := int64(1); after <= m.revision; after++ {
			q := storage.WatchRequest{Prefix: "a/", After: after}
			if after < compacted {
				e.is(e.watchError(s, q), storage.ErrCompacted)
				continue
			}
			want := m.after(after, "a/")
			e.same(fmt.Sprint("events after ", after), e.events(e.watch(s, q), len(want)), want)
		}
	}},
	{"a watcher that is up to date does not notice a compaction", func(e *env) {
		s, m := e.store(), newModel()
		w := e.watch(s, storage.WatchRequest{})
		m.follow(e, s, story)
		e.ok(s.Compact(e.soon(), m.revision))
		m.follow(e, s, []storage.Write{{Key: "x"}})
		e.same("events", e.events(w, len(m.events)), m.events)
	}},
	{"the future cannot be compacted", func(e *env) {
		s := e.store()
		e.put(s, "a", "")
		e.is(s.Compact(e.soon(), 3), storage.ErrFutureRevision)
		e.same("compacted revision", s.Compacted(), int64(0))
	}},
	{"compacting what has been compacted does nothing", func(e *env) {
		s := e.store()
		for range 5 {
			e.put(s, "a", "")
		}
		e.ok(s.Compact(e.soon(), 4))
		e.ok(s.Compact(e.soon(), 4))
		e.ok(s.Compact(e.soon(), 2))
		e.same("compacted revision", s.Compacted(), int64(4))
	}},
	{"when all history is gone the revision stays, also when the store is opened again", func(e *env) {
		s, m := e.store(), newModel()
		m.follow(e, s, story)
		for _, key := range []string{"a/2", "b/1"} {
			m.follow(e, s, []storage.Write{{Key: key, Delete: true, Expected: storage.AnyRevision}})
		}
		e.ok(s.Compact(e.soon(), m.revision))
		e.ok(s.Close())
		s = e.store()
		e.same("revision", e.revision(s), m.revision)
		e.same("compacted revision", s.Compacted(), m.revision)
		e.same("everything", e.read(s, storage.RangeRequest{}), storage.RangeResult{Revision: m.revision})
		m.follow(e, s, []storage.Write{{Key: "a/1", Value: []byte("again")}})
		e.same("everything", e.read(s, storage.RangeRequest{}), m.read(storage.RangeRequest{}))
		_, err := s.Range(e.soon(), storage.RangeRequest{Revision: m.revision - 2})
		e.is(err, storage.ErrCompacted)
	}},
	{"a long history goes and the present stays", func(e *env) {
		s, m := e.store(), newModel()
		e.all(16, func(i int) error {
			for n := range 60 {
				_, _, err := s.Apply(e.soon(), storage.Write{
					Key: fmt.Sprint("k", (i+n)%40), Value: fmt.Append(nil, n), Expected: storage.AnyRevision,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		for _, event := range e.events(e.watch(s, storage.WatchRequest{After: 1}), 16*60) {
			m.add(event)
		}
		e.ok(s.Compact(e.soon(), m.revision-100))
		for _, revision := range []int64{m.revision - 100, m.revision - 50, 0} {
			q := storage.RangeRequest{Revision: revision}
			e.same(fmt.Sprint("state at ", revision), e.read(s, q), m.read(q))
		}
	}},
}
