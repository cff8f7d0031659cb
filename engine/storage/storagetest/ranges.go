package storagetest

import (
	"fmt"

	"gatehouse/engine/storage"
)

var ranges = []check{
	{"a range holds the keys between its bounds in byte order", func(e *env) {
		s := e.store()
		for _, key := range []string{"b", "a\xff", "a/1", "a", "a\x00", "B", "ab", "b\x00", "\xff"} {
			e.put(s, key, key)
		}
		all := []string{"B", "a", "a\x00", "a/1", "ab", "a\xff", "b", "b\x00", "\xff"}
		for _, c := range []struct {
			start, end string
			want       []string
		}{
			{"", "", all},
			{"a", "", all[1:]},
			{"", "b", all[:6]},
			{"a", "b", all[1:6]},
			{"a", "a\x00", all[1:2]},
			{"a", storage.PrefixEnd("a"), all[1:6]},
			{"a\xff", storage.PrefixEnd("a\xff"), all[5:6]},
			{"\xff", storage.PrefixEnd("\xff"), all[8:]},
			{"a", "a", nil},
			{"b", "a", nil},
			{"c", "d", nil},
		} {
			result := e.read(s, storage.RangeRequest{Start: c.start, End: c.end})
			what := fmt.Sprintf("[%q, %q)", c.start, c.end)
			e.same("keys of "+what, keysOf(result.Items), c.want)
			e.same("count of "+what, result.Count, int64(len(c.want)))
			e.same("revision of "+what, result.Revision, e.revision(s))
			counted := e.read(s, storage.RangeRequest{Start: c.start, End: c.end, CountOnly: true})
			e.same("count alone of "+what, counted, storage.RangeResult{Revision: result.Revision, Count: result.Count})
		}
	}},
	{"a limit cuts the answer and says so, and the count is that of the whole range", func(e *env) {
		s := e.store()
		for i := range 5 {
			e.put(s, fmt.Sprint("k", i), "")
		}
		past := e.revision(s)
		for _, revision := range []int64{0, past} {
			for limit := range 8 {
				result := e.read(s, storage.RangeRequest{Start: "k1", Limit: limit, Revision: revision})
				want := []string{"k1", "k2", "k3", "k4"}
				more := limit > 0 && limit < len(want)
				if more {
					want = want[:limit]
				}
				e.same(fmt.Sprint("keys with limit ", limit), keysOf(result.Items), want)
				e.same(fmt.Sprint("count with limit ", limit), result.Count, int64(4))
				e.same(fmt.Sprint("more with limit ", limit), result.More, more)
			}
			e.put(s, "k9", "") // what was the present becomes the past
			e.remove(s, "k9")
		}
	}},
	{"a read of the past sees exactly what was then", func(e *env) {
		s := e.store()
		m := newModel()
		m.follow(e, s, []storage.Write{
			{Key: "a", Value: []byte("1")},
			{Key: "b", Value: []byte("1")},
			{Key: "a", Value: []byte("2"), Expected: storage.AnyRevision},
			{Key: "b", Delete: true, Expected: storage.AnyRevision},
			{Key: "c", Value: []byte("1")},
			{Key: "b", Value: []byte("2")},
			{Key: "a", Delete: true, Expected: storage.AnyRevision},
			{Key: "c", Value: []byte("2"), Expected: storage.AnyRevision},
			{Key: "c", Value: []byte("3"), Expected: storage.AnyRevision},
		})
		for revision := int64(1); revision <= m.revision; revision++ {
			for _, q := range []storage.RangeRequest{
				{}, {Start: "b"}, {End: "b"}, {Limit: 1}, {Start: "a", Limit: 2},
				{CountOnly: true}, {Start: "b", End: "c", CountOnly: true},
			} {
				q.Revision = revision
				e.same(fmt.Sprintf("%+v", q), e.read(s, q), m.read(q))
			}
		}
	}},
	{"a revision that has not been written cannot be read", func(e *env) {
		s := e.store()
		e.put(s, "a", "1")
		_, err := s.Range(e.soon(), storage.RangeRequest{Revision: 3})
		e.is(err, storage.ErrFutureRevision)
		_, err = s.Range(e.soon(), storage.RangeRequest{Revision: 3, CountOnly: true})
		e.is(err, storage.ErrFutureRevision)
	}},
	{"a writer reads its own write, and the revision never goes back", func(e *env) {
		s := e.store()
		e.all(8, func(i int) error {
			key, newest := fmt.Sprint("k", i), int64(0)
			for n := range 20 {
				w := storage.Write{Key: key, Value: fmt.Append(nil, n), Expected: storage.AnyRevision}
				item, revision, err := s.Apply(e.soon(), w)
				if err != nil {
					return err
				}
				result, err := s.Range(e.soon(), storage.RangeRequest{Start: key, End: key + "\x00"})
				if err != nil {
					return err
				}
				if len(result.Items) != 1 || result.Items[0].ModRevision != item.ModRevision {
					return fmt.Errorf("wrote %v, read %v", item, result.Items)
				}
				now, err := s.Revision(e.soon())
				if err != nil {
					return err
				}
				if revision <= newest || result.Revision < revision || now < result.Revision {
					return fmt.Errorf("after revision %d: written at %d, read at %d, then at %d",
						newest, revision, result.Revision, now)
				}
				newest = now
			}
			return nil
		})
	}},
}
