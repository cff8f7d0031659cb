package objects_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	apistorage "k8s.io/apiserver/pkg/storage"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"gatehouse/engine/objects"
	"gatehouse/engine/storage/sqlite"
)

// patience is how long a test waits for what must happen; it only passes when the test fails.
const patience = 30 * time.Second

// next returns the next event; ok is false at the end of the watch.
func next(t *testing.T, w watch.Interface) (event watch.Event, ok bool) {
	t.Helper()
	select {
	case event, ok = <-w.ResultChan():
		return event, ok
	case <-time.After(patience):
		t.Fatal("the watch says nothing")
		return watch.Event{}, false
	}
}

// expect checks the type of the next event and returns its resourceVersion.
func expect(t *testing.T, w watch.Interface, want watch.EventType) (object *example.Pod, revision int64) {
	t.Helper()
	event, ok := next(t, w)
	if !ok || event.Type != want {
		t.Fatalf("got event %s %+v, want %s", event.Type, event.Object, want)
	}
	object = event.Object.(*example.Pod)
	revision, err := strconv.ParseInt(object.ResourceVersion, 10, 64)
	if err != nil {
		t.Fatalf("resourceVersion of %s: %v", event.Type, err)
	}
	return object, revision
}

// expectEnd checks that the watch ends with an error of the given code whose message starts as given, and nothing after it.
func expectEnd(t *testing.T, w watch.Interface, code int32, reason metav1.StatusReason, message string) {
	t.Helper()
	event, _ := next(t, w)
	checkStatus(t, event, code, reason, message)
	expectClosed(t, w)
}

func checkStatus(t *testing.T, event watch.Event, code int32, reason metav1.StatusReason, message string) {
	t.Helper()
	status, ok := event.Object.(*metav1.Status)
	if !ok || event.Type != watch.Error {
		t.Fatalf("got event %s %+v, want an error", event.Type, event.Object)
	}
	if status.Code != code || status.Reason != reason || !strings.HasPrefix(status.Message, message) {
		t.Errorf("got status %d %s %q, want %d %s %q", status.Code, status.Reason, status.Message, code, reason, message)
	}
}

func expectClosed(t *testing.T, w watch.Interface) {
	t.Helper()
	if event, ok := next(t, w); ok {
		t.Errorf("got event %s %+v, want the end of the watch", event.Type, event.Object)
	}
}

func watchPods(ctx context.Context, t *testing.T, h *house, opts apistorage.ListOptions) watch.Interface {
	t.Helper()
	if opts.Predicate.Label == nil {
		everything := apistorage.Everything
		everything.AllowWatchBookmarks = opts.Predicate.AllowWatchBookmarks
		opts.Predicate = everything
	}
	opts.Recursive = true
	w, err := h.Watch(ctx, "/pods", opts)
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	t.Cleanup(w.Stop)
	return w
}

// clocked makes a house with a clock that stands still.
func clocked(t *testing.T) (*house, *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(time.Now())
	return open(t, func(c *objects.Config) { c.Clock = clock }), clock
}

func bookmarked(from *example.Pod) apistorage.ListOptions {
	return apistorage.ListOptions{
		ResourceVersion: from.ResourceVersion,
		Predicate:       apistorage.SelectionPredicate{AllowWatchBookmarks: true},
	}
}

func TestBookmarks(t *testing.T) {
	ctx := context.Background()

	t.Run("come once a minute and say what has been seen", func(t *testing.T) {
		h, clock := clocked(t)
		w := watchPods(ctx, t, h, bookmarked(h.create(t, pod("first"))))
		for _, name := range []string{"a", "b", "c"} {
			clock.Step(59 * time.Second)
			created := h.create(t, pod(name))
			if object, _ := expect(t, w, watch.Added); object.Name != name {
				t.Errorf("got %s, want %s", object.Name, name)
			}
			clock.Step(time.Second)
			bookmark, _ := expect(t, w, watch.Bookmark)
			want := &example.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: created.ResourceVersion}}
			if diff := cmp.Diff(want, bookmark); diff != "" {
				t.Errorf("bookmark (-want +got):\n%s", diff)
			}
		}
	})

	t.Run("follow the revision when only other resources change", func(t *testing.T) {
		h, clock := clocked(t)
		w := watchPods(ctx, t, h, bookmarked(h.create(t, pod("first"))))
		elsewhere := h.touch(ctx, t)
		last := int64(0)
		for last < elsewhere { // the backend reports progress in its own time
			clock.Step(time.Minute)
			_, revision := expect(t, w, watch.Bookmark)
			if revision < last || revision > elsewhere {
				t.Fatalf("bookmark at %d after %d, with the store at %d", revision, last, elsewhere)
			}
			last = revision
		}
	})

	t.Run("come two seconds before the watch times out, and then no more", func(t *testing.T) {
		h, clock := clocked(t)
		timed, cancel := context.WithDeadline(ctx, clock.Now().Add(45*time.Second))
		defer cancel()
		w := watchPods(timed, t, h, bookmarked(h.create(t, pod("first"))))
		clock.Step(43 * time.Second)
		expect(t, w, watch.Bookmark)
		clock.Step(time.Hour)
		h.create(t, pod("second"))
		expect(t, w, watch.Added)
	})

	t.Run("are not sent to those who did not ask", func(t *testing.T) {
		h, clock := clocked(t)
		first := h.create(t, pod("first"))
		w := watchPods(ctx, t, h, apistorage.ListOptions{ResourceVersion: first.ResourceVersion})
		clock.Step(time.Hour)
		h.create(t, pod("second"))
		expect(t, w, watch.Added)
		if clock.HasWaiters() {
			t.Error("a timer runs for a watch without bookmarks")
		}
	})

	t.Run("wait for the end of the initial state", func(t *testing.T) {
		h, clock := clocked(t)
		const pods = 150 // more than wait in the watch for a client that does not read
		for i := range pods {
			h.create(t, pod("pod-"+strconv.Itoa(i)))
		}
		options := bookmarked(&example.Pod{})
		options.SendInitialEvents = ptr.To(true)
		w := watchPods(ctx, t, h, options)
		clock.Step(time.Minute)
		for range pods {
			expect(t, w, watch.Added)
		}
		if end, _ := expect(t, w, watch.Bookmark); end.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
			t.Errorf("the bookmark after the initial state is %+v", end)
		}
		if periodic, _ := expect(t, w, watch.Bookmark); len(periodic.Annotations) != 0 {
			t.Errorf("the periodic bookmark is %+v", periodic)
		}
	})

	t.Run("are not sent for the progress that others are notified of", func(t *testing.T) {
		h := openOn(t, openDatabase(t, sqlite.Options{Retention: -1, ProgressInterval: time.Nanosecond}))
		options := bookmarked(h.create(t, pod("first")))
		w := watchPods(ctx, t, h, options)
		options.ProgressNotify = true
		notified := watchPods(ctx, t, h, options)
		elsewhere := h.touch(ctx, t)
		for revision := int64(0); revision < elsewhere; {
			_, revision = expect(t, notified, watch.Bookmark)
		}
		h.create(t, pod("second"))
		expect(t, w, watch.Added)
	})

	t.Run("leave no timer behind", func(t *testing.T) {
		h, clock := clocked(t)
		w := watchPods(ctx, t, h, bookmarked(h.create(t, pod("first"))))
		w.Stop()
		expectClosed(t, w)
		if clock.HasWaiters() {
			t.Error("the timer of a stopped watch still runs")
		}
	})
}

func TestWatchOfOneKeySeesNoOther(t *testing.T) {
	h := open(t)
	options := bookmarked(h.create(t, pod("first")))
	options.Predicate = apistorage.Everything
	w, err := h.Watch(context.Background(), "/pods/ns/pod", options)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for _, name := range []string{"pod-1", "po", "pod"} {
		h.create(t, pod(name))
	}
	if object, _ := expect(t, w, watch.Added); object.Name != "pod" {
		t.Errorf("the watch of pod tells of %s", object.Name)
	}
}

// TestALongInitialStateShowsOneRevision has more objects than are read at once, and a client that is slow enough for a write
// in between.
func TestALongInitialStateShowsOneRevision(t *testing.T) {
	h, ctx := open(t), context.Background()
	const pods = 1200
	var wait sync.WaitGroup
	for worker := range 16 {
		wait.Go(func() {
			for i := worker; i < pods; i += 16 {
				h.create(t, pod("pod-"+strconv.Itoa(i)))
			}
		})
	}
	wait.Wait()
	options := bookmarked(&example.Pod{})
	options.SendInitialEvents = ptr.To(true)
	w := watchPods(ctx, t, h, options)
	expect(t, w, watch.Added)
	late := h.create(t, pod("zzz"))
	for range pods - 1 {
		expect(t, w, watch.Added)
	}
	end, revision := expect(t, w, watch.Bookmark)
	if end.Annotations[metav1.InitialEventsAnnotationKey] != "true" || end.ResourceVersion == late.ResourceVersion {
		t.Errorf("the bookmark after the initial state is at %d: %v", revision, end.Annotations)
	}
	if object, _ := expect(t, w, watch.Added); object.Name != "zzz" {
		t.Errorf("after the initial state comes %s", object.Name)
	}
}

func TestWatchEndsWithAnErrorEvent(t *testing.T) {
	ctx := context.Background()

	t.Run("when what follows its resourceVersion has been compacted", func(t *testing.T) {
		h := open(t)
		first, second := h.create(t, pod("first")), h.create(t, pod("second"))
		h.compact(ctx, t, second.ResourceVersion)
		w := watchPods(ctx, t, h, apistorage.ListOptions{ResourceVersion: first.ResourceVersion})
		expectEnd(t, w, http.StatusGone, metav1.StatusReasonExpired,
			"The resourceVersion for the provided watch is too old.")
	})

	t.Run("when its client does not take the events", func(t *testing.T) {
		h := openOn(t, openDatabase(t, sqlite.Options{Retention: -1, WatchEvents: 10}))
		first := h.create(t, pod("first"))
		w := watchPods(ctx, t, h, apistorage.ListOptions{ResourceVersion: first.ResourceVersion})
		const pods = 200 // far more than the watch and the database keep for it
		for i := range pods {
			h.create(t, pod("pod-"+strconv.Itoa(i)))
		}
		for taken := range pods {
			event, _ := next(t, w)
			if event.Type == watch.Error {
				if taken < 100 {
					t.Errorf("only %d events arrived before the watch was cut off", taken)
				}
				checkStatus(t, event, http.StatusGone, metav1.StatusReasonExpired, "The watch did not take its events fast enough")
				expectClosed(t, w)
				return
			}
			if name := event.Object.(*example.Pod).Name; name != "pod-"+strconv.Itoa(taken) {
				t.Fatalf("event %d is about %s", taken, name)
			}
		}
		t.Error("all events were kept for a client that did not take them")
	})

	t.Run("when it asks for the state at a resourceVersion that does not exist yet", func(t *testing.T) {
		h := open(t)
		options := apistorage.ListOptions{ResourceVersion: "1000", SendInitialEvents: ptr.To(true)}
		w := watchPods(ctx, t, h, options)
		event, _ := next(t, w)
		status, ok := event.Object.(*metav1.Status)
		if !ok || status.Reason != metav1.StatusReasonTimeout || status.Details.RetryAfterSeconds < 1 {
			t.Errorf("got %s %+v, want a timeout with a time to retry", event.Type, event.Object)
		}
		expectClosed(t, w)
	})

	t.Run("when code that it calls panics", func(t *testing.T) {
		h := open(t, func(c *objects.Config) { c.Codec = panickingCodec{c.Codec} })
		w := watchPods(ctx, t, h, apistorage.ListOptions{})
		if err := h.Create(ctx, "/pods/ns/first", pod("first"), nil, 0); err != nil {
			t.Fatal(err)
		}
		expectEnd(t, w, http.StatusInternalServerError, metav1.StatusReasonInternalError, "Internal error occurred: watch")
	})
}

type panickingCodec struct{ runtime.Codec }

func (panickingCodec) Decode([]byte, *schema.GroupVersionKind, runtime.Object) (
	runtime.Object, *schema.GroupVersionKind, error,
) {
	panic("this codec panics")
}

func TestWatchEndsQuietly(t *testing.T) {
	h := open(t)
	first := h.create(t, pod("first"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	options := bookmarked(first)
	stopped := watchPods(ctx, t, h, options)
	stopped.Stop()
	stopped.Stop()
	expectClosed(t, stopped)

	cancelled := watchPods(ctx, t, h, options)
	cancel()
	expectClosed(t, cancelled)

	left := watchPods(context.Background(), t, h, options)
	if err := h.backend.Close(); err != nil {
		t.Fatalf("close the database: %v", err)
	}
	expectClosed(t, left)
	expectClosed(t, watchPods(context.Background(), t, h, options))

	if err := h.ReadinessCheck(); !errors.Is(err, apistorage.ErrStorageNotReady) {
		t.Errorf("ready after the database was closed: %v", err)
	}
	if err := h.Get(context.Background(), "/pods/ns/first", apistorage.GetOptions{}, first); !apistorage.IsUnreachable(err) {
		t.Errorf("read from a closed database: %v", err)
	}
}
