package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestWatchTellsWhatHappens(t *testing.T) {
	h := open(t, Options{})
	h.put(t, pod("old"))
	w, view := h.watch(t, WatchRequest{})
	if diff := cmp.Diff([]string{"ns/old@2"}, listed(view)); diff != "" {
		t.Errorf("the view to begin with (-want +got):\n%s", diff)
	}
	h.put(t, pod("new"))
	h.elsewhere(t)
	h.put(t, pod("old"))
	h.remove(t, pod("old"))
	h.put(t, pod("old"))
	want := []string{
		"added ns/new@3 after nothing",
		"modified ns/old@5 after 2",
		"deleted ns/old@6 after 5",
		"added ns/old@7 after nothing",
	}
	if diff := cmp.Diff(want, await(t, w, len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWatchSeesItsScopeOnly(t *testing.T) {
	h := open(t, Options{})
	h.put(t, pod("first"))
	inNamespace := func(namespace, name string) *corev1.Pod {
		p := pod(name)
		p.Namespace = namespace
		return p
	}
	scopes := map[string]struct {
		scope string
		want  []string
	}{
		"everything":               {"", []string{"ns/a", "ns2/a", "ns/b", "ns/ab", "ns/end", "other/end"}},
		"everything by its prefix": {podsPrefix, []string{"ns/a", "ns2/a", "ns/b", "ns/ab", "ns/end", "other/end"}},
		"a namespace":              {podsPrefix + "ns/", []string{"ns/a", "ns/b", "ns/ab", "ns/end"}},
		"one key":                  {keyOf("ns", "a"), []string{"ns/a"}},
	}
	watchers := map[string][]*Watcher{}
	start := func(after int64) {
		for name, c := range scopes {
			w, _ := h.watch(t, WatchRequest{Scope: c.scope, After: after})
			watchers[name] = append(watchers[name], w)
		}
	}
	start(0)
	for _, p := range []*corev1.Pod{pod("a"), inNamespace("ns2", "a"), pod("b"), pod("ab"), pod("end"), inNamespace("other", "end")} {
		h.put(t, p)
	}
	start(2) // from the window
	h.pods.window.start(100)
	start(2) // from the database
	for name, c := range scopes {
		t.Run(name, func(t *testing.T) {
			for i, w := range watchers[name] {
				var got []string
				for _, told := range await(t, w, len(c.want)) {
					key, _, _ := strings.Cut(strings.TrimPrefix(told, "added "), "@")
					got = append(got, key)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("watcher %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestWatchResumes(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	t.Run("before a restart", func(t *testing.T) {
		h := openAt(t, path, Options{})
		h.put(t, pod("a"))    // 2
		h.put(t, pod("b"))    // 3
		h.put(t, pod("a"))    // 4
		h.remove(t, pod("b")) // 5
	})
	h := openAt(t, path, Options{WindowEvents: 2, WatchEvents: 6})
	h.view(t)
	h.put(t, pod("c")) // 6
	h.put(t, pod("a")) // 7
	h.put(t, pod("b")) // 8
	h.elsewhere(t)     // 9
	all := []string{
		"added ns/a@2 after nothing", "added ns/b@3 after nothing", "modified ns/a@4 after 2", "deleted ns/b@5 after 3",
		"added ns/c@6 after nothing", "modified ns/a@7 after 4", "added ns/b@8 after nothing",
	}
	for name, c := range map[string]struct {
		after int64
		want  []string
	}{
		"from the window":                {6, all[5:]},
		"within the window":              {7, all[6:]},
		"from the database":              {3, all[2:]},
		"from the last event":            {8, nil},
		"from where another resource is": {9, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := h.watch(t, WatchRequest{After: c.after})
			if diff := cmp.Diff(c.want, await(t, w, len(c.want)), cmp.Transformer("nil", func(s []string) string {
				return strings.Join(s, "\n")
			})); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if events, revision, err := w.Take(); len(events) > 0 || revision != 9 || err != nil {
				t.Errorf("then came %v, revision %d, error %v", events, revision, err)
			}
		})
	}

	t.Run("from the database with the entries of the present", func(t *testing.T) {
		w, _ := h.watch(t, WatchRequest{After: 5})
		events, _, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if present := h.view(t).Get(keyOf("ns", "c")); events[0].Entry != present {
			t.Error("a state that is still the present has an entry of its own")
		}
		if got := podOf(t, events[1].Previous); got.ResourceVersion != "4" {
			t.Errorf("the state before is of revision %s, want 4", got.ResourceVersion)
		}
	})
	t.Run("not with more than a watcher may have waiting", func(t *testing.T) {
		if _, _, err := h.pods.Watch(ctx, WatchRequest{After: 1}); !errors.Is(err, ErrNotHeld) {
			t.Errorf("got error %v, want ErrNotHeld", err)
		}
	})
	t.Run("not from what has been compacted", func(t *testing.T) {
		if err := h.store.Compact(ctx, 5); err != nil {
			t.Fatal(err)
		}
		_, _, err := h.pods.Watch(ctx, WatchRequest{After: 4})
		if !errors.Is(err, ErrCompacted) || !strings.Contains(err.Error(), "watch /registry/pods/ after revision 4") {
			t.Errorf("got error %v, want ErrCompacted", err)
		}
	})
	t.Run("not from a negative revision", func(t *testing.T) {
		if _, _, err := h.pods.Watch(ctx, WatchRequest{After: -1}); err == nil {
			t.Error("it was accepted")
		}
	})
	t.Run("from the future, without what comes before that", func(t *testing.T) {
		w, _ := h.watch(t, WatchRequest{After: 10})
		h.put(t, pod("d")) // 10
		h.put(t, pod("e")) // 11
		if diff := cmp.Diff([]string{"added ns/e@11 after nothing"}, await(t, w, 1)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestWatchersThatFailToBeginAreForgotten(t *testing.T) {
	h := open(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := h.pods.Watch(ctx, WatchRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	w, _ := h.watch(t, WatchRequest{})
	w.Close()
	if n := h.watchers(); n != 0 || len(h.pods.topics.byKey) != 0 {
		t.Errorf("%d watchers are left, topics %v", n, h.pods.topics.byKey)
	}
}

func TestNextLosesNothingWhenItsContextEnds(t *testing.T) {
	h := open(t, Options{})
	w, view := h.watch(t, WatchRequest{})
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	events, revision, err := w.Next(ended)
	if len(events) > 0 || !errors.Is(err, context.Canceled) || revision != view.Revision() {
		t.Errorf("got %v, revision %d, error %v", events, revision, err)
	}
	h.put(t, pod("a"))
	if diff := cmp.Diff([]string{"added ns/a@2 after nothing"}, await(t, w, 1)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// When only others change, the revision moves on all the same. The dispatcher tells so when it comes to it.
	sentinel, _ := h.watch(t, WatchRequest{})
	h.elsewhere(t)
	last := h.put(t, pod("b"))
	await(t, sentinel, 1)
	await(t, w, 1)
	if _, revision, err = w.Next(ended); !errors.Is(err, context.Canceled) || revision != last {
		t.Errorf("got revision %d, error %v; want %d", revision, err, last)
	}
}

func TestRevisionMovesOnForIdleWatchers(t *testing.T) {
	h := open(t, Options{})
	idle, _ := h.watch(t, WatchRequest{Scope: podsPrefix + "empty/"})
	busy, _ := h.watch(t, WatchRequest{})
	h.elsewhere(t)
	h.put(t, pod("a"))
	await(t, busy, 1)
	h.put(t, pod("b"))
	await(t, busy, 1) // the delivery before this one has been told of in full
	if _, revision, err := idle.Take(); revision < 3 || err != nil {
		t.Errorf("got revision %d, error %v; want 3 at least", revision, err)
	}
}

func TestSlowWatchersAreCutOffAlone(t *testing.T) {
	for name, options := range map[string]Options{
		"by the number of events":   {WatchEvents: 10},
		"by the size of the events": {WatchBytes: 10 * eventBytes},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, options)
			slow, _ := h.watch(t, WatchRequest{})
			quick, view := h.watch(t, WatchRequest{})
			for i := range 20 {
				h.put(t, pod("pod-"+strconv.Itoa(i)))
				await(t, quick, 1)
			}
			events, revision, err := slow.Next(context.Background())
			if len(events) > 0 || !errors.Is(err, ErrSlowWatcher) {
				t.Errorf("the slow one got %d events and error %v", len(events), err)
			}
			if revision != view.Revision() {
				t.Errorf("the slow one is told it saw revision %d, but it saw %d", revision, view.Revision())
			}
			stats := h.Stats()
			if stats.SlowWatchers != 1 || stats.Collections[podsPrefix].Watchers != 1 {
				t.Errorf("want the slow one cut off and the quick one served: %+v", stats)
			}
		})
	}
}

func TestOneBatchMayBeLargerThanABuffer(t *testing.T) {
	h := open(t, Options{WatchEvents: 1, WatchBytes: 1})
	w, _ := h.watch(t, WatchRequest{})
	h.put(t, pod("a"))
	await(t, w, 1)
	h.put(t, pod("b"))
	await(t, w, 1)
}

func TestCloseEndsWatchersAfterTheirLastEvent(t *testing.T) {
	h := open(t, Options{})
	w, _ := h.watch(t, WatchRequest{})
	closed, _ := h.watch(t, WatchRequest{})
	h.put(t, pod("a"))
	closed.Close()
	if _, _, err := closed.Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed watcher ends with %v", err)
	}
	h.Close()
	h.Close()
	if diff := cmp.Diff([]string{"added ns/a@2 after nothing"}, await(t, w, 1)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if _, _, err := w.Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("the watcher ends with %v, want ErrClosed", err)
	}
	late, _, err := h.pods.Watch(context.Background(), WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := late.Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("a watcher that comes later ends with %v, want ErrClosed", err)
	}
	h.put(t, pod("b")) // the store may outlive the cache
}

// TestWatchesMissNothingAndRepeatNothing starts watches again and again while writers write: at the present, in the window and in
// the database's history. Each must lead, from what it began with, to exactly what the database holds in the end.
func TestWatchesMissNothingAndRepeatNothing(t *testing.T) {
	h := open(t, Options{WindowEvents: 20})
	const writers, rounds, watches = 4, 60, 24
	h.put(t, pod("first"))
	h.view(t)
	var writing, watching sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for n := range rounds {
				name := fmt.Sprintf("pod-%d-%d", i, n%5)
				if n%5 == 4 {
					h.remove(t, pod(fmt.Sprintf("pod-%d-%d", i, (n-1)%5)))
				} else {
					h.put(t, labelled(name, strconv.Itoa(n)))
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	end := make(chan int64, watches)
	for i := range watches {
		view := h.view(t)
		after := max(view.Revision()-random.Int64N(60), 2) * int64(i%3%2+i%3/2) // every third at the present
		watching.Go(func() { h.follow(t, after, end) })
	}
	writing.Wait()
	last := h.put(t, pod("last"))
	for range watches {
		end <- last
	}
	watching.Wait()
}

// follow watches until a revision, which end tells, and compares what it has learnt with the database.
func (h *house) follow(t *testing.T, after int64, end <-chan int64) {
	known := map[string]int64{}
	w, view, err := h.pods.Watch(context.Background(), WatchRequest{After: after})
	if err != nil {
		t.Errorf("watch: %v", err)
		return
	}
	defer w.Close()
	if after > 0 {
		view = h.past(t, after)
	}
	for e := range view.Scan("", "") {
		known[e.Key()] = e.Revision()
	}
	seen := max(after, view.Revision())
	for last := int64(0); last == 0 || seen < last; {
		select {
		case last = <-end:
			end = nil // the others are for other watchers
			continue
		case <-w.Ready():
		}
		events, revision, err := w.Take()
		if err != nil {
			t.Errorf("watch after %d: %v", after, err)
			return
		}
		for _, e := range events {
			if e.Revision <= seen {
				t.Errorf("watch after %d: event of revision %d came after %d had been seen", after, e.Revision, seen)
			}
			seen = e.Revision
			known = follow(t, known, e)
		}
		seen = max(seen, revision)
	}
	present := map[string]int64{}
	for e := range h.view(t).Scan("", "") {
		present[e.Key()] = e.Revision()
	}
	if diff := cmp.Diff(present, known); diff != "" {
		t.Errorf("watch after %d has led to (-database +watch):\n%s", after, diff)
	}
}

// follow applies an event to what is known, and checks that it fits.
func follow(t *testing.T, known map[string]int64, e *Event) map[string]int64 {
	var previous int64
	if e.Previous != nil {
		previous = e.Previous.Revision()
	}
	if known[e.Entry.Key()] != previous {
		t.Errorf("%v, but what was known is of revision %d", e, known[e.Entry.Key()])
	}
	if e.Kind == Deleted {
		delete(known, e.Entry.Key())
	} else {
		known[e.Entry.Key()] = e.Revision
	}
	return known
}

// past is a view of the database's history, made into one of the cache's.
func (h *house) past(t *testing.T, revision int64) View {
	t.Helper()
	return View{collection: h.pods, snapshot: &snapshot{tree: h.treeAt(t, revision)}, revision: revision}
}
