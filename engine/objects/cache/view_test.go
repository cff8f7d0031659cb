package cache

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"gatehouse/engine/storage"
)

func TestViewNeedsAStoreToReadFrom(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	_, err := c.Attach(Resource{Prefix: podsPrefix}).View(context.Background())
	if !errors.Is(err, ErrNotServed) {
		t.Errorf("got error %v, want ErrNotServed", err)
	}
}

func TestViewShowsWhatWasWrittenBeforeAndAfterItsLoading(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	t.Run("by an earlier server", func(t *testing.T) {
		h := openAt(t, path, Options{})
		h.put(t, pod("old"))
	})
	h := openAt(t, path, Options{})
	h.put(t, pod("unobserved"))
	h.view(t)
	h.put(t, pod("new"))
	h.put(t, pod("old"))
	h.remove(t, pod("unobserved"))
	last := h.elsewhere(t)
	view := h.view(t)
	if view.Revision() != last {
		t.Errorf("the view is of revision %d, want %d", view.Revision(), last)
	}
	if diff := cmp.Diff([]string{"ns/new@4", "ns/old@5"}, listed(view)); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if n := h.store.ranged.Load(); n != 1 {
		t.Errorf("the store was read %d times, want once", n)
	}
}

func TestViewStaysAsItIs(t *testing.T) {
	h := open(t, Options{})
	for i := range 200 {
		h.put(t, pod(fmt.Sprintf("pod-%03d", i)))
	}
	view := h.view(t)
	before := listed(view)
	for i := range 200 {
		if i%2 == 0 {
			h.remove(t, pod(fmt.Sprintf("pod-%03d", i)))
		} else {
			h.put(t, pod(fmt.Sprintf("pod-%03d", i)))
		}
	}
	if diff := cmp.Diff(before, listed(view)); diff != "" {
		t.Errorf("the view has changed (-before +after):\n%s", diff)
	}
	if now := h.view(t); now.Len() != 100 {
		t.Errorf("the present has %d pods, want 100", now.Len())
	}
}

func TestLoadingMissesNothing(t *testing.T) {
	h := open(t, Options{})
	for _, name := range []string{"kept", "changed", "removed"} {
		h.put(t, pod(name))
	}
	once := func(do func()) func() {
		var once sync.Once
		return func() { once.Do(do) }
	}
	h.store.before = once(func() {
		h.put(t, pod("before"))
		h.put(t, pod("changed"))
	})
	h.store.after = once(func() {
		h.put(t, pod("after"))
		h.put(t, pod("changed"))
		h.remove(t, pod("removed"))
		h.remove(t, pod("before"))
		h.put(t, pod("before"))
	})
	view := h.view(t)
	want := []string{"ns/after@7", "ns/before@11", "ns/changed@8", "ns/kept@2"}
	if diff := cmp.Diff(want, listed(view)); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(h.stored(t, view), listed(view)); diff != "" {
		t.Errorf("pods (-database +view):\n%s", diff)
	}
	w, _ := h.watch(t, WatchRequest{After: 8})
	told := []string{"deleted ns/removed@9 after 4", "deleted ns/before@10 after 5", "added ns/before@11 after nothing"}
	if diff := cmp.Diff(told, await(t, w, 3)); diff != "" {
		t.Errorf("events from the time of loading (-want +got):\n%s", diff)
	}
}

func TestFailureToLoadIsToldAndNotKept(t *testing.T) {
	h := open(t, Options{})
	h.put(t, pod("a"))
	ctx, cancel := context.WithCancel(context.Background())
	h.store.before = func() { cancel(); h.store.before = nil }
	_, err := h.pods.View(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "load /registry/pods/ into the cache") {
		t.Errorf("got error %v", err)
	}
	h.put(t, pod("b"))
	if n := h.view(t).Len(); n != 2 {
		t.Errorf("then there are %d pods, want 2", n)
	}
}

func TestACollectionIsLoadedInPagesOfOneRevision(t *testing.T) {
	for name, forget := range map[string]bool{"that the store keeps": false, "that the store forgets meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			h := open(t, Options{})
			for i := range 10 {
				h.put(t, pod(fmt.Sprintf("pod-%d", i)))
			}
			h.pods.page = 3
			h.store.after = sync.OnceFunc(func() {
				h.put(t, pod("pod-0"))
				h.remove(t, pod("pod-4"))
				last := h.put(t, pod("pod-55"))
				if !forget {
					return
				}
				if err := h.store.Compact(context.Background(), last); err != nil {
					t.Error(err)
				}
			})
			view := h.view(t)
			if diff := cmp.Diff(h.stored(t, view), listed(view)); diff != "" {
				t.Errorf("in the cache (-stored +held):\n%s", diff)
			}
			var used int64
			for e := range view.Scan("", "") {
				used += e.Size()
			}
			if forget {
				// The pages that were given up are not held against the cache.
				if got := h.Stats().UsedBytes; got != used {
					t.Errorf("%d bytes are told as used, %d are", got, used)
				}
			}
			if n, want := h.store.ranged.Load(), map[bool]int64{false: 4, true: 3}[forget]; n != want {
				t.Errorf("the store was read %d times, want %d", n, want)
			}
		})
	}
}

func TestStatsCountWhatIsHeld(t *testing.T) {
	h := open(t, Options{})
	h.Attach(Resource{Prefix: "/registry/nodes/"})
	if stats := h.Stats(); len(stats.Collections) != 0 {
		t.Errorf("before anything is loaded: %+v", stats)
	}
	h.view(t)
	h.put(t, pod("a"))
	h.put(t, pod("a"))
	h.watch(t, WatchRequest{})
	h.watch(t, WatchRequest{Scope: keyOf("ns", "a")})
	view := h.view(t)
	view.Pin()
	json := form(t, view.Get(keyOf("ns", "a")), h.version, JSON)
	want := Stats{
		Collections: map[string]CollectionStats{podsPrefix: {Entries: 1, Window: 2, Watchers: 2}},
		FormBytes:   int64(len(json)) + overhead, PinnedViews: 1,
		// The two states of the pod, one of them in the window, and the form; all in one slab.
		UsedBytes: 2*view.Get(keyOf("ns", "a")).Size() + int64(len(json)), SlabBytes: slabSize,
	}
	if diff := cmp.Diff(want, h.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func TestGetScanAndCount(t *testing.T) {
	h := open(t, Options{})
	for _, name := range []string{"a", "b", "c", "d"} {
		h.put(t, pod(name))
	}
	view := h.view(t)
	for name, c := range map[string]struct {
		start, end string
		want       []string
	}{
		"everything without bounds":      {"", "", []string{"a", "b", "c", "d"}},
		"everything by its prefix":       {podsPrefix, storage.PrefixEnd(podsPrefix), []string{"a", "b", "c", "d"}},
		"from a key on":                  {keyOf("ns", "b"), "", []string{"b", "c", "d"}},
		"behind a key":                   {keyOf("ns", "b") + "\x00", "", []string{"c", "d"}},
		"up to a key, which is left out": {"", keyOf("ns", "c"), []string{"a", "b"}},
		"one key":                        {keyOf("ns", "c"), keyOf("ns", "c") + "\x00", []string{"c"}},
		"another namespace":              {podsPrefix + "other/", podsPrefix + "other0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for e := range view.Scan(c.start, c.end) {
				got = append(got, podOf(t, e).Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("scan (-want +got):\n%s", diff)
			}
			if n := view.Count(c.start, c.end); n != len(c.want) {
				t.Errorf("count is %d, want %d", n, len(c.want))
			}
		})
	}
	for range view.Scan("", "") {
		break // a scan may be left early
	}
	if e := view.Get(keyOf("ns", "b")); e == nil || e.Revision() != 3 || e.Key() != keyOf("ns", "b") {
		t.Errorf("got %+v for an existing key", e)
	}
	if e := view.Get(keyOf("ns", "bb")); e != nil {
		t.Errorf("got %+v for an absent key", e)
	}
}

func TestAttachingTwiceSharesTheCollection(t *testing.T) {
	h := open(t, Options{})
	if h.Attach(Resource{Prefix: podsPrefix}) != h.pods {
		t.Error("a second collection came back")
	}
}

func TestCollectionsWhosePrefixesNestBothSeeTheirKeys(t *testing.T) {
	h := open(t, Options{})
	inner := h.Attach(Resource{Prefix: podsPrefix + "ns/", Decode: h.decodeStored, Attributes: podAttributes})
	h.view(t)
	if _, err := inner.View(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.put(t, pod("a"))
	other := pod("b")
	other.Namespace = "other"
	h.put(t, other)
	view, err := inner.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if inner, outer := view.Len(), h.view(t).Len(); inner != 1 || outer != 2 {
		t.Errorf("the inner one has %d and the outer one %d, want 1 and 2", inner, outer)
	}
}

func TestViewWaitsForWhatAReaderOfTheStoreHasSeen(t *testing.T) {
	backend := &aheadStore{revision: 9}
	c := New(Options{})
	defer c.Close()
	pods := c.Attach(Resource{Prefix: podsPrefix})
	if err := c.Serve(context.Background(), backend); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.View(context.Background()); err != nil {
		t.Fatal(err)
	}
	// From now on a reader has been shown revision 10, of which the writer is only about to tell.
	backend.revision = 10
	views := make(chan View)
	go func() {
		view, err := pods.View(context.Background())
		if err != nil {
			t.Errorf("view: %v", err)
		}
		views <- view
	}()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := pods.View(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a view whose context has ended: %v", err)
	}
	select {
	case view := <-views:
		t.Fatalf("a view of revision %d came before the store's writer told of 10", view.Revision())
	default:
	}
	c.Observe([]storage.Event{{Item: storage.Item{Key: podsPrefix + "ns/a", Value: []byte("a"), ModRevision: 10}}})
	if view := <-views; view.Revision() != 10 || view.Len() != 1 {
		t.Errorf("the view is of revision %d with %d pods, want 10 and 1", view.Revision(), view.Len())
	}
}

// aheadStore has nothing but a revision.
type aheadStore struct {
	storage.Store
	revision int64
}

func (s *aheadStore) Revision(ctx context.Context) (int64, error) { return s.revision, ctx.Err() }

func (s *aheadStore) Range(ctx context.Context, _ storage.RangeRequest) (storage.RangeResult, error) {
	return storage.RangeResult{Revision: 9}, ctx.Err()
}

func TestLoadingIsTakenOverFromAReaderWhoGivesUp(t *testing.T) {
	h := open(t, Options{})
	h.put(t, pod("a"))
	ctx, cancel := context.WithCancel(context.Background())
	entered, second := make(chan struct{}), make(chan error)
	h.store.before = func() {
		h.store.before = nil
		close(entered)
		// The second reader waits for the token meanwhile, or comes later: both must do.
		cancel()
	}
	go func() {
		<-entered
		_, err := h.pods.View(context.Background())
		second <- err
	}()
	if _, err := h.pods.View(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the reader who gave up got %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the reader who waited got %v", err)
	}
	if diff := cmp.Diff([]string{"ns/a@2"}, listed(h.view(t))); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

func TestPastViews(t *testing.T) {
	ctx := context.Background()
	clock := clocktesting.NewFakePassiveClock(time.Now())
	h := open(t, Options{PinnedViews: 2, PinTime: time.Minute, Clock: clock})
	first := h.put(t, pod("a"))
	h.view(t)
	second := h.put(t, pod("b"))
	unchanged := h.elsewhere(t)
	pinned := h.view(t)
	pinned.Pin()
	pinned.Pin() // again is no second pin
	third := h.put(t, pod("c"))

	at := func(revision int64) ([]string, error) {
		view, err := h.pods.ViewAt(ctx, revision)
		if err != nil {
			return nil, err
		}
		if view.Revision() != revision {
			t.Errorf("the view at revision %d says %d", revision, view.Revision())
		}
		return listed(view), nil
	}
	both, all := []string{"ns/a@2", "ns/b@3"}, []string{"ns/a@2", "ns/b@3", "ns/c@5"}
	for name, c := range map[string]struct {
		revision int64
		want     []string
		err      error
	}{
		"the present":         {third, all, nil},
		"the pinned revision": {unchanged, both, nil},
		"a revision from which the pin had not changed": {second, both, nil},
		"a revision before the pin":                     {first, nil, ErrNotHeld},
		"the future":                                    {third + 1, nil, ErrFutureRevision},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := at(c.revision)
			if !errors.Is(err, c.err) {
				t.Fatalf("got error %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}
		})
	}

	t.Run("the present stays good for as long as only other resources change", func(t *testing.T) {
		h.elsewhere(t)
		if got, err := at(third); err != nil || len(got) != 3 {
			t.Errorf("got %v, error %v", got, err)
		}
	})
	t.Run("using a pin makes it last", func(t *testing.T) {
		for range 3 {
			clock.SetTime(clock.Now().Add(40 * time.Second))
			if _, err := at(unchanged); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("the pin used longest ago goes first", func(t *testing.T) {
		for _, name := range []string{"d", "e"} {
			h.view(t).Pin()
			if _, err := at(unchanged); name == "d" && err != nil {
				t.Errorf("two pins are one too many: %v", err)
			}
			h.put(t, pod(name))
		}
		if _, err := at(third + 1); !errors.Is(err, ErrNotHeld) {
			t.Errorf("the pin that was not used is still held: %v", err)
		}
		if _, err := at(unchanged); err != nil {
			t.Errorf("the pin that was used is not held: %v", err)
		}
	})
	t.Run("a pin ends with the next commit after its time", func(t *testing.T) {
		clock.SetTime(clock.Now().Add(time.Minute))
		h.elsewhere(t)
		if n := h.Stats().PinnedViews; n != 0 {
			t.Errorf("%d pins are held", n)
		}
		if _, err := at(unchanged); !errors.Is(err, ErrNotHeld) {
			t.Errorf("got error %v, want ErrNotHeld", err)
		}
	})
}

func TestAPinEndsWhenItKeepsTooMuch(t *testing.T) {
	h := open(t, Options{PinnedBytes: 8 << 10})
	big := labelled("big", strings.Repeat("x", 2<<10))
	h.put(t, big)
	h.view(t).Pin()
	for n := range 5 {
		want := 1
		if n >= 3 {
			want = 0
		}
		h.elsewhere(t) // whatever other resources do
		h.put(t, big)
		if held := h.Stats().PinnedViews; held != want {
			t.Errorf("after %d changes %d views are held, want %d", n+1, held, want)
		}
	}
}

// TestReadsAreLinearizable has writers that each keep a counter in a pod of their own, and readers who check that a view that was
// asked for after a write was acknowledged shows it, that views never go back, and that each is exactly what the database held at
// its revision. The collection is loaded while they write.
func TestReadsAreLinearizable(t *testing.T) {
	h := open(t, Options{WindowEvents: 64})
	const writers, readers, rounds = 6, 4, 60
	var acknowledged [writers]atomic.Int64 // revisions
	var writing, reading sync.WaitGroup
	stop := make(chan struct{})
	for i := range writers {
		writing.Go(func() {
			name := "writer-" + strconv.Itoa(i)
			for n := range rounds {
				if n%7 == 6 {
					h.remove(t, pod(name))
					acknowledged[i].Store(0)
				}
				acknowledged[i].Store(h.put(t, labelled(name, strconv.Itoa(n))))
			}
		})
	}
	for range readers {
		reading.Go(func() {
			var last int64
			for {
				select {
				case <-stop:
					return
				default:
				}
				last = h.readOnce(t, last, acknowledged[:])
			}
		})
	}
	writing.Wait()
	close(stop)
	reading.Wait()
}

// readOnce takes a view and checks it; last is the revision of the one before.
func (h *house) readOnce(t *testing.T, last int64, acknowledged []atomic.Int64) int64 {
	known := make([]int64, len(acknowledged))
	for i := range acknowledged {
		known[i] = acknowledged[i].Load()
	}
	view := h.view(t)
	if view.Revision() < last {
		t.Errorf("a view of revision %d came after one of %d", view.Revision(), last)
	}
	for i, revision := range known {
		if revision > view.Revision() {
			t.Errorf("a write of revision %d was acknowledged before a view of %d", revision, view.Revision())
		}
		entry := view.Get(keyOf("ns", "writer-"+strconv.Itoa(i)))
		// A deletion may have come after the write that was acknowledged, but an older state must never.
		if entry != nil && entry.Revision() < revision {
			t.Errorf("a state of revision %d was shown after %d was acknowledged", entry.Revision(), revision)
		}
	}
	if diff := cmp.Diff(h.stored(t, view), listed(view)); diff != "" {
		t.Errorf("view at revision %d (-database +view):\n%s", view.Revision(), diff)
	}
	return view.Revision()
}
