package pluginapi

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/watch"

	"gatehouse/engine/pluginapi/v1alpha1"
	"gatehouse/plugins"
)

const (
	// countersEvery is how often watchers are told of what plugins have done. Of changes of state they are told at once.
	countersEvery = 10 * time.Second
	// maxTombstones is how many plugins that are gone are remembered, for watches that have not heard of it yet.
	maxTombstones = 256
)

// board is what was last told of each plugin, and since which revision. Whoever asks has it brought up to date first, so that every
// revision stands for one content. Watches are told what is different from what they know: they hold a revision and no queue, so
// that a slow one takes no memory and misses nothing but what has been overwritten since. It is safe for concurrent use.
type board struct {
	set *plugins.Set

	mu sync.Mutex // guards what follows
	// revision is that of the latest change. The first is made of the time, so that none is used twice after a restart.
	revision uint64
	// known are the plugins by name; gone are those that were, oldest first. Neither's objects change.
	known map[string]posted
	gone  []posted
	// horizon is the revision since which all that went is in gone.
	horizon uint64
	// changed is closed and replaced when revision moves on.
	changed chan struct{}
	// watching counts watches; stop ends the goroutine that follows the set while there are any.
	watching int
	stop     context.CancelFunc
}

// posted is a plugin on the board.
type posted struct {
	object *v1alpha1.Plugin
	// order is its place among all.
	order int
	// appeared and changed are the revisions at which it came, and had its latest change.
	appeared, changed uint64
}

func newBoard(set *plugins.Set) *board {
	now := uint64(time.Now().UnixMilli())
	return &board{set: set, revision: now, horizon: now, known: map[string]posted{}, changed: make(chan struct{})}
}

// refresh brings the board up to date. The caller holds mu.
func (b *board) refresh() {
	before := b.revision
	seen := map[string]bool{}
	for i, status := range b.set.List() {
		seen[status.Name] = true
		object := objectOf(&status)
		old, known := b.known[status.Name]
		if known && old.object.UID != object.UID {
			b.bury(old)
			known = false
		}
		if known {
			object.ResourceVersion = old.object.ResourceVersion
			if apiequality.Semantic.DeepEqual(old.object, object) {
				old.order = i
				b.known[status.Name] = old
				continue
			}
		}
		b.revision++
		next := posted{object: object, order: i, appeared: old.appeared, changed: b.revision}
		if !known {
			next.appeared = b.revision
		}
		object.ResourceVersion = strconv.FormatUint(b.revision, 10)
		b.known[status.Name] = next
	}
	for name, old := range b.known {
		if !seen[name] {
			b.bury(old)
			delete(b.known, name)
		}
	}
	if b.revision != before {
		close(b.changed)
		b.changed = make(chan struct{})
	}
}

// bury notes that a plugin is gone. The caller holds mu.
func (b *board) bury(old posted) {
	b.revision++
	object := old.object.DeepCopy()
	object.ResourceVersion = strconv.FormatUint(b.revision, 10)
	b.gone = append(b.gone, posted{object: object, appeared: old.appeared, changed: b.revision})
	if excess := len(b.gone) - maxTombstones; excess > 0 {
		b.horizon = b.gone[excess-1].changed
		b.gone = slices.Delete(b.gone, 0, excess)
	}
}

// all are the plugins as they are now, in their order, and the revision of that.
func (b *board) all() ([]*v1alpha1.Plugin, uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	return b.sorted(), b.revision
}

// sorted are the plugins on the board in their order. The caller holds mu.
func (b *board) sorted() []*v1alpha1.Plugin {
	list := make([]posted, 0, len(b.known))
	for _, p := range b.known {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b posted) int { return cmp.Compare(a.order, b.order) })
	objects := make([]*v1alpha1.Plugin, len(list))
	for i, p := range list {
		objects[i] = p.object
	}
	return objects
}

// one is the plugin called name as it is now, nil if there is none.
func (b *board) one(name string) *v1alpha1.Plugin {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	return b.known[name].object
}

// bounds are the revisions from and up to which a watch can go on.
func (b *board) bounds() (horizon, revision uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	return b.horizon, b.revision
}

// since tells what has changed after a revision, up to which one that goes, and when there is more. It reports false when what happened
// since is not known any more. Objects in events must not be changed.
func (b *board) since(revision uint64) (events []watch.Event, upTo uint64, more <-chan struct{}, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if revision < b.horizon {
		return nil, 0, nil, false
	}
	type change struct {
		at    uint64
		event watch.Event
	}
	var changes []change
	for _, p := range b.gone {
		if p.changed > revision && p.appeared <= revision { // what came and went meanwhile nobody has seen
			changes = append(changes, change{p.changed, watch.Event{Type: watch.Deleted, Object: p.object}})
		}
	}
	for _, p := range b.known {
		switch {
		case p.appeared > revision:
			changes = append(changes, change{p.changed, watch.Event{Type: watch.Added, Object: p.object}})
		case p.changed > revision:
			changes = append(changes, change{p.changed, watch.Event{Type: watch.Modified, Object: p.object}})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	for _, c := range changes {
		events = append(events, c.event)
	}
	return events, b.revision, b.changed, true
}

// follow keeps the board up to date until leave is called, as many times as follow was.
func (b *board) follow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watching++
	if b.watching > 1 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go b.keepUp(ctx)
}

func (b *board) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watching--
	if b.watching == 0 {
		b.stop()
	}
}

// keepUp refreshes the board when the set changes, and from time to time.
func (b *board) keepUp(ctx context.Context) {
	counters := time.NewTicker(countersEvery)
	defer counters.Stop()
	for {
		changed := b.set.Changed()
		b.mu.Lock()
		b.refresh()
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-counters.C:
		}
	}
}
