package crash

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// state is what is known of one object. The zero value is an object that is not there.
type state struct {
	uid      types.UID
	revision string
	value    string
}

func stateOf(object *corev1.ConfigMap) state {
	return state{object.UID, object.ResourceVersion, object.Data["value"]}
}

// change is a write that may or may not have happened: its answer did not come.
type change struct {
	name string
	// value is what would have been written, empty for a deletion.
	value string
}

// ledger holds what the server has acknowledged, and what it still owes an answer for.
type ledger struct {
	mu      sync.Mutex
	objects map[string]state // by name, those that are there; guarded by mu
	// doubtful are changes whose connection broke; guarded by mu
	doubtful []change
	// written are all acknowledged writes but deletions by their revision, deleted the UIDs of acknowledged deletions; both
	// guarded by mu
	written map[string]state
	deleted map[types.UID]bool
	acks    int
}

func newLedger() *ledger {
	return &ledger{objects: map[string]state{}, written: map[string]state{}, deleted: map[types.UID]bool{}}
}

func (l *ledger) know(name string) state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.objects[name]
}

// wrote records an acknowledged create or update.
func (l *ledger) wrote(object *corev1.ConfigMap) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks++
	s := stateOf(object)
	if before, taken := l.written[s.revision]; taken {
		return fmt.Errorf("revision %s was acknowledged twice: for %v and for %v", s.revision, before, s)
	}
	l.written[s.revision] = s
	l.objects[object.Name] = s
	return nil
}

// removed records an acknowledged deletion.
func (l *ledger) removed(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks++
	l.deleted[l.objects[name].uid] = true
	delete(l.objects, name)
}

func (l *ledger) doubt(c change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubtful = append(l.doubtful, c)
}

// acknowledged counts the writes so far.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// settle compares what is there with the ledger, and takes over what has become of the doubtful changes. Nobody may write
// meanwhile.
func (l *ledger) settle(items []corev1.ConfigMap) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := map[string]state{}
	for _, item := range items {
		there[item.Name] = stateOf(&item)
	}
	doubts := map[string]change{}
	for _, c := range l.doubtful {
		doubts[c.name] = c // a writer has one write under way, and names are a writer's own
	}
	l.doubtful = nil
	var failures []error
	for name := range union(l.objects, there) {
		known, found := l.objects[name], there[name]
		if known == found {
			continue
		}
		doubt, doubted := doubts[name]
		if !doubted || found.value != doubt.value {
			failures = append(failures, fmt.Errorf("%s is %v, acknowledged was %v, doubtful %t %v", name, found, known, doubted, doubt))
			continue
		}
		l.adopt(name, known, found)
	}
	return errors.Join(failures...)
}

// adopt records a doubtful change that has happened.
func (l *ledger) adopt(name string, known, found state) {
	if found == (state{}) {
		l.deleted[known.uid] = true
		delete(l.objects, name)
		return
	}
	l.written[found.revision] = found
	l.objects[name] = found
}

// compare holds everything that a watch has seen against everything that was acknowledged: nothing is missing, nothing else
// is there.
func (l *ledger) compare(seen *ledger) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	var failures []error
	for revision := range union(l.written, seen.written) {
		if want, got := l.written[revision], seen.written[revision]; want != got {
			failures = append(failures, fmt.Errorf("at revision %s the watch saw %v, acknowledged was %v", revision, got, want))
		}
	}
	for uid := range union(l.deleted, seen.deleted) {
		if l.deleted[uid] != seen.deleted[uid] {
			failures = append(failures, fmt.Errorf("the deletion of %s was seen: %t, acknowledged: %t", uid, seen.deleted[uid], l.deleted[uid]))
		}
	}
	if !maps.Equal(l.objects, seen.objects) {
		failures = append(failures, fmt.Errorf("the watch knows %v, there is %v", seen.objects, l.objects))
	}
	return errors.Join(failures...)
}

// union are the keys of both maps, each once.
func union[K comparable, V any](a, b map[K]V) map[K]bool {
	keys := map[K]bool{}
	for key := range maps.Keys(a) {
		keys[key] = true
	}
	for key := range maps.Keys(b) {
		keys[key] = true
	}
	return keys
}

// sortedNames are the names of the objects that are there.
func (l *ledger) sortedNames() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.objects))
}
