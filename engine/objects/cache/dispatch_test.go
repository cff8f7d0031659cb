package cache

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// manyWatchers are enough for events to gather.
const manyWatchers = 100

// crowd is a dispatcher with watchers of one namespace and no cache around it, in a bubble whose time the test moves.
type crowd struct {
	*dispatcher
	pods     *Collection
	watchers []*Watcher
}

func newCrowd(t *testing.T, count int, gather time.Duration) *crowd {
	t.Helper()
	c := &crowd{dispatcher: newDispatcher(1000, 1<<20, gather)}
	c.pods = &Collection{cache: &Cache{dispatcher: c.dispatcher}, resource: Resource{Prefix: podsPrefix}, topics: newTopics(nil)}
	for range count {
		c.watchers = append(c.watchers, c.join("ns"))
	}
	c.start()
	t.Cleanup(c.close)
	return c
}

func (c *crowd) join(namespace string) *Watcher {
	w := &Watcher{collection: c.pods, key: topicKey{scope: podsPrefix + namespace + "/"}, place: absent, ready: make(chan struct{}, 1), onEnd: func() {}}
	c.dispatcher.join(w)
	return w
}

// commit hands the dispatcher a change as the cache does.
func (c *crowd) commit(revision int64, namespace string) {
	entry := &Entry{collection: c.pods, key: podsPrefix + namespace + "/a", revision: revision}
	c.add(c.pods, []*Event{{Kind: Added, Revision: revision, Entry: entry}})
	c.advance(revision)
	synctest.Wait()
}

// taken is what a watcher has been handed since it was last asked, and up to where it has seen everything.
func taken(t *testing.T, w *Watcher) string {
	t.Helper()
	events, revision, err := w.Take()
	if err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	var revisions []int64
	for _, e := range events {
		revisions = append(revisions, e.Revision)
	}
	return fmt.Sprint(revisions, " up to ", revision)
}

func TestEventsForManyWatchersGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, manyWatchers, time.Hour)
		gather := manyWatchers * gatherPerWatcher
		lonely := c.join("other")
		var got []string
		look := func() { got = append(got, taken(t, c.watchers[0])) }
		c.commit(1, "ns")
		look()
		c.commit(2, "ns")
		c.commit(3, "other")
		look()
		lonelyGot := taken(t, lonely)
		time.Sleep(gather - 1)
		c.commit(4, "ns")
		look()
		time.Sleep(1)
		synctest.Wait()
		look()
		time.Sleep(gather)
		c.commit(5, "ns")
		look()
		want := []string{"[1] up to 1", "[] up to 1", "[] up to 1", "[2 4] up to 4", "[5] up to 5"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("one of many got (-want +got):\n%s", diff)
		}
		// The others' events still wait, so that what it has seen is no more than that, but its own does not.
		if want := "[3] up to 3"; lonelyGot != want {
			t.Errorf("a watcher beside them got %s, want %s", lonelyGot, want)
		}
		for _, w := range c.watchers[1:] {
			if got, want := taken(t, w), "[1 2 4 5] up to 5"; got != want {
				t.Errorf("another got %s, want %s", got, want)
			}
		}
	})
}

func TestEventsAreHandedOutAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		watchers int
		gather   time.Duration
	}{
		"to few":                         {int(leastGather/gatherPerWatcher) - 1, time.Hour},
		"to many, if none are to gather": {manyWatchers, -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				few := newCrowd(t, c.watchers, c.gather)
				for revision := range int64(3) {
					few.commit(revision+1, "ns")
					if got, want := taken(t, few.watchers[0]), fmt.Sprintf("[%d] up to %d", revision+1, revision+1); got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				}
			})
		})
	}
}

func TestGatheredEventsAreHandedOutAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, manyWatchers, time.Hour)
		c.commit(1, "ns")
		c.commit(2, "ns")
		c.close()
		if got, want := taken(t, c.watchers[0]), "[1 2] up to 2"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestGatheringOutlivesTheWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, manyWatchers, time.Hour)
		c.commit(1, "ns")
		c.commit(2, "ns")
		for _, w := range c.watchers {
			w.Close()
		}
		late := c.join("ns")
		c.commit(3, "ns")
		if got, want := taken(t, late), "[3] up to 3"; got != want {
			t.Errorf("a watcher that came later got %s, want %s", got, want)
		}
		time.Sleep(manyWatchers * gatherPerWatcher)
		synctest.Wait()
		if got, told := taken(t, late), c.told.Load(); got != "[] up to 3" || told != 3 {
			t.Errorf("then it got %s, and all were told up to %d, want nothing up to 3", got, told)
		}
	})
}

// TestCrowdsLoseNothing has writers that move pods between nodes, beside watchers of everything, so many that events gather, and of
// single nodes. All must have learnt in the end what the database holds.
func TestCrowdsLoseNothing(t *testing.T) {
	const watchers, writers, rounds = 40, 3, 60
	nodes := []string{"", "node-a", "node-b"}
	h := open(t, Options{GatherTime: 3 * time.Millisecond})
	h.put(t, pod("first"))
	begin := h.view(t).Revision()
	var watching, writing sync.WaitGroup
	end := make(chan int64, watchers)
	for i := range watchers {
		watching.Go(func() { h.follow(t, begin, end) })
		w, _ := h.watch(t, WatchRequest{Field: nodeName, Value: nodes[i%len(nodes)], After: begin})
		watching.Go(func() { h.followNode(t, w, nodes[i%len(nodes)]) })
	}
	for writer := range writers {
		writing.Go(func() {
			for round := range rounds {
				name := fmt.Sprintf("pod-%d-%d", writer, round%4)
				h.put(t, onNode(name, nodes[(round+writer)%len(nodes)]))
				if round%5 == 0 {
					h.remove(t, pod(name))
					w, _ := h.watch(t, WatchRequest{Field: nodeName, Value: "node-a"})
					w.Close()
				}
			}
		})
	}
	writing.Wait()
	var last int64
	for _, node := range nodes {
		last = h.put(t, onNode(lastOn+node, node))
	}
	for range watchers {
		end <- last
	}
	watching.Wait()
}

// lastOn begins the name of the last pod of a node.
const lastOn = "zz-"

// followNode follows a node's pods until its last pod comes, and compares what it has learnt with the database.
func (h *house) followNode(t *testing.T, w *Watcher, node string) {
	known := map[string]bool{"ns/first": node == ""}
	is := func(e *Entry) bool { value, told := e.field(nodeName); return told && value == node }
	for ended := false; !ended; {
		events, _, err := w.Next(t.Context())
		if err != nil {
			t.Errorf("watch of node %q: %v", node, err)
			return
		}
		for _, e := range events {
			name := strings.TrimPrefix(e.Entry.Key(), podsPrefix)
			sees, saw := e.Kind != Deleted && is(e.Entry), is(e.Previous)
			if !sees && !saw {
				t.Errorf("watch of node %q was told of %v", node, e)
			}
			if known[name] != saw {
				t.Errorf("watch of node %q: %v, but that it was there before is known to be %t", node, e, known[name])
			}
			known[name] = sees
			ended = ended || name == "ns/"+lastOn+node
		}
	}
	var got []string
	for name, there := range known {
		if there {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	want := slices.DeleteFunc(matching(t, h.view(t), node), func(name string) bool { return name > "ns/"+lastOn+node })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("watch of node %q has led to (-database +watch):\n%s", node, diff)
	}
}

func TestWatchesByAnIndexedFieldAreToldOfTheirOwnOnly(t *testing.T) {
	h := open(t, Options{})
	bound := func(name, node string) { h.put(t, onNode(name, node)) }
	bound("old", "node-a") // 2
	begin := h.view(t).Revision()
	watchOf := func(request WatchRequest) *Watcher {
		w, _ := h.watch(t, request)
		return w
	}
	sentinel := watchOf(WatchRequest{})
	onA := watchOf(WatchRequest{Field: nodeName, Value: "node-a"})
	onB := watchOf(WatchRequest{Field: nodeName, Value: "node-b", After: begin})
	nowhere := watchOf(WatchRequest{Field: nodeName})
	elsewhere := watchOf(WatchRequest{Field: nodeName, Value: "node-a", Scope: podsPrefix + "elsewhere/"})
	single := watchOf(WatchRequest{Field: nodeName, Value: "node-a", Scope: keyOf("ns", "new")})
	byPhase := watchOf(WatchRequest{Field: "status.phase", Value: "Running"})

	bound("new", "")       // 3
	bound("new", "node-a") // 4
	bound("other", "")     // 5
	h.remove(t, pod("other"))
	bound("old", "node-a") // 7
	bound("old", "node-b") // 8, as no scheduler does it
	h.remove(t, pod("new"))
	unreadable := pod("unreadable") // its fields cannot be told
	unreadable.Annotations = map[string]string{"attributes": "none"}
	last := h.put(t, unreadable)

	all := []string{
		"added ns/new@3 after nothing", "modified ns/new@4 after 3", "added ns/other@5 after nothing", "deleted ns/other@6 after 5",
		"modified ns/old@7 after 2", "modified ns/old@8 after 7", "deleted ns/new@9 after 4", "added ns/unreadable@10 after nothing",
	}
	pick := func(revisions ...int) (want []string) {
		for _, revision := range revisions {
			want = append(want, all[revision-3])
		}
		return want
	}
	if diff := cmp.Diff(all, await(t, sentinel, len(all))); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
	bound("end", "node-z")
	await(t, sentinel, 1) // the delivery before this one has been told of in full
	for name, c := range map[string]struct {
		watcher *Watcher
		want    []string
	}{
		"a node's pods":                        {onA, pick(4, 7, 8, 9)},
		"another node's pods":                  {onB, pick(8)},
		"pods without a node":                  {nowhere, pick(3, 4, 5, 6)},
		"a node's pods in a namespace":         {elsewhere, nil},
		"a pod, once it is on a node":          {single, pick(4, 9)},
		"all pods if the field is not indexed": {byPhase, append(all, "added ns/end@11 after nothing")},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, await(t, c.watcher, len(c.want))); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if events, revision, err := c.watcher.Take(); len(events) > 0 || revision < last || err != nil {
				t.Errorf("then came %v, revision %d, error %v; want nothing up to %d at least", events, revision, err, last)
			}
			c.watcher.Close()
		})
	}
	if fields := h.pods.topics.fields; !slices.ContainsFunc(fields, func(f topicField) bool { return f.name == nodeName && f.topics.Load() == 0 }) {
		t.Errorf("after all watches by field are closed, some are still counted")
	}
}
