package storagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gatehouse/engine/storage"
)

// scripts are random sequences of operations, the same in every run.
var scripts = []check{
	{"a store and a model answer the same to random operations", func(e *env) {
		random := rand.New(rand.NewPCG(1, 2))
		for range 10 {
			script := make([]byte, 300)
			for i := range script {
				script[i] = byte(random.Uint32())
			}
			e.dir = e.TempDir()
			e.play(script)
		}
	}},
}

// Play reads bytes as a sequence of operations, and makes sure that a new store answers each of them as a simple
// model does. It is for fuzz targets: every sequence of bytes is a valid script.
func Play(t *testing.T, open Open, script []byte) {
	(&env{T: t, open: open, dir: t.TempDir()}).play(script)
}

// player is the state of one script.
type player struct {
	*env
	store     storage.Store
	model     *model
	compacted int64
	watcher   storage.Watcher
	prefix    string // of the watcher
	seen      int64  // by the watcher, in revisions
	script    []byte
}

func (e *env) play(script []byte) {
	p := &player{env: e, store: e.store(), model: newModel(), script: script}
	for len(p.script) > 0 {
		switch op := p.next(8); op {
		case 0, 1, 2, 3:
			p.write(op == 0)
		case 4:
			p.read()
		case 5:
			p.compact()
		case 6:
			p.follow()
		case 7:
			p.reopen()
		}
	}
	p.follow()
	p.ok(p.store.Close())
}

// next takes a number below n from the script, 0 at its end.
func (p *player) next(n int) int {
	if len(p.script) == 0 {
		return 0
	}
	b := p.script[0]
	p.script = p.script[1:]
	return int(b) % n
}

func (p *player) key() string {
	return []string{"a", "a/", "a/1", "a/2", "b", "b/1", "\xff", "c"}[p.next(8)]
}

// revisionNear is one that was written, or a few more.
func (p *player) revisionNear() int64 { return 1 + int64(p.next(int(min(p.model.revision+2, 255)))) }

func (p *player) write(remove bool) {
	w := storage.Write{Key: p.key(), Delete: remove}
	switch p.next(4) {
	case 0:
		w.Expected = storage.AnyRevision
	case 1:
		w.Expected = p.model.now[w.Key].ModRevision
	case 2:
		w.Expected = p.revisionNear()
	}
	if !remove {
		w.Value = []byte(fmt.Sprint(p.model.revision))
	}
	current, exists := p.model.now[w.Key]
	event, ok := p.model.apply(w)
	item, revision, err := p.store.Apply(p.soon(), w)
	var conflict *storage.ConflictError
	switch {
	case errors.As(err, &conflict):
		if ok {
			p.Fatalf("%+v is refused: %v", w, err)
		}
		if (conflict.Current != nil) != exists {
			p.Fatalf("%+v meets %v, want %v", w, conflict.Current, current)
		}
		if exists {
			p.same("current", *conflict.Current, current)
		}
	case err != nil || !ok:
		p.Fatalf("%+v gives %v, and the model takes it: %t", w, err, ok)
	default:
		want := event.Item
		if remove {
			want = current
		}
		p.same("item", item, want)
		p.same("revision", revision, event.Item.ModRevision)
	}
}

func (p *player) read() {
	q := storage.RangeRequest{Start: p.key(), End: p.key(), Limit: p.next(4), CountOnly: p.next(4) == 0}
	if p.next(2) == 0 {
		q.End = ""
	}
	if p.next(3) > 0 {
		q.Revision = p.revisionNear()
	}
	result, err := p.store.Range(p.soon(), q)
	switch {
	case q.Revision > p.model.revision:
		p.is(err, storage.ErrFutureRevision)
	case q.Revision != 0 && q.Revision < p.compacted:
		p.is(err, storage.ErrCompacted)
	default:
		p.ok(err)
		p.same(fmt.Sprintf("%+v", q), result, p.model.read(q))
	}
}

func (p *player) compact() {
	p.catchUp() // a watcher that has not may meet the compaction
	revision := p.revisionNear()
	err := p.store.Compact(p.soon(), revision)
	if revision > p.model.revision {
		p.is(err, storage.ErrFutureRevision)
		return
	}
	p.ok(err)
	p.compacted = max(p.compacted, revision)
	p.same("compacted revision", p.store.Compacted(), p.compacted)
}

// follow has the watcher see everything up to now, and half the time begins a new watch.
func (p *player) follow() {
	p.catchUp()
	if p.watcher != nil {
		if p.next(2) == 0 {
			return
		}
		p.watcher.Close()
		p.watcher = nil
	}
	q := storage.WatchRequest{Prefix: []string{"", "a", "a/", "b/"}[p.next(4)], After: p.revisionNear(), Progress: true}
	if q.After < p.compacted {
		p.is(p.watchError(p.store, q), storage.ErrCompacted)
		return
	}
	p.watcher, p.prefix, p.seen = p.watch(p.store, q), q.Prefix, q.After
}

func (p *player) catchUp() {
	if p.watcher == nil {
		return
	}
	want := p.model.after(p.seen, p.prefix)
	what := fmt.Sprintf("events of %q after %d", p.prefix, p.seen)
	var got []storage.Event
	for p.seen < p.model.revision {
		batch, revision, err := p.watcher.Next(p.soon())
		p.ok(err)
		got, p.seen = append(got, batch...), revision
	}
	p.same(what, got, want)
}

func (p *player) reopen() {
	p.ok(p.store.Close())
	p.store, p.watcher = p.env.store(), nil
	p.same("revision", p.revision(p.store), p.model.revision)
	p.same("compacted revision", p.store.Compacted(), p.compacted)
}
