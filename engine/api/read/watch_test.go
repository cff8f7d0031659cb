package read

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/engine/objects/cache"
)

// step moves the clock on once the watch waits for it.
func (h *harness) step(by time.Duration) {
	for !h.clock.HasWaiters() {
		runtime.Gosched()
	}
	h.clock.Step(by)
}

func TestBookmarksComeEachMinuteAndShortlyBeforeTheWatchEnds(t *testing.T) {
	h := newHarness(t, cache.Options{})
	first := h.write("a", "1")
	w := h.watch(fmt.Sprintf("resourceVersion=%d&allowWatchBookmarks=true&timeoutSeconds=150", first))
	second := h.write("a", "2")
	if diff := cmp.Diff([]string{event("MODIFIED", "a", "2", second)}, w.next(1)); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for _, by := range []time.Duration{time.Minute, time.Minute, 28 * time.Second} {
		h.step(by)
		if diff := cmp.Diff([]string{bookmark(second)}, w.next(1)); diff != "" {
			t.Fatalf("after another %s (-want +got):\n%s", by, diff)
		}
	}
	h.step(2 * time.Second)
	if left := w.rest(); len(left) > 0 {
		t.Errorf("before its end the watch said %q", left)
	}
}

func TestAWatchWithoutBookmarksGetsNoneAndEndsInTime(t *testing.T) {
	h := newHarness(t, cache.Options{})
	first := h.write("a", "1")
	w := h.watch(fmt.Sprintf("resourceVersion=%d&timeoutSeconds=150", first))
	h.step(149 * time.Second)
	second := h.write("a", "2")
	w.next(1)
	h.step(time.Second)
	if left := w.rest(); len(left) > 0 {
		t.Errorf("after revision %d the watch said %q", second, left)
	}
}

func TestBookmarksFollowWritesToOtherResources(t *testing.T) {
	h := newHarness(t, cache.Options{})
	first := h.write("a", "1")
	w := h.watch(fmt.Sprintf("resourceVersion=%d&allowWatchBookmarks=true&labelSelector=none&timeoutSeconds=9000000000", first))
	last := h.write("b", "not selected")
	// The cache tells watches of a write a moment after its writer: early bookmarks may come from before it, thousands of them if the
	// machine has other things to do. The watch must outlast them.
	for at := bookmark(0); at != bookmark(last); {
		h.step(time.Minute)
		at = w.next(1)[0]
	}
}

func TestAClientThatTakesNothingIsToldThatItIsCutOff(t *testing.T) {
	const most = 10
	h := newHarness(t, cache.Options{WatchEvents: most})
	first := h.write("a", "1")
	w := h.watch(fmt.Sprintf("resourceVersion=%d", first))
	w.hold(true)
	h.write("a", "2")
	w.untilWaiting()
	// Writes return at once, whatever the watch does. It is cut off by the cache, which is a moment behind.
	for n := 0; h.cache.Stats().SlowWatchers == 0; n++ {
		h.write("a", fmt.Sprint(n))
	}
	w.hold(false)
	lines := w.rest()
	const want = `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",` +
		`"message":"` + watchTooSlow + `","reason":"Expired","code":410}}`
	if diff := cmp.Diff(want, lines[len(lines)-1]); diff != "" {
		t.Errorf("last words (-want +got):\n%s", diff)
	}
}

func TestAWatchEndsWithItsClient(t *testing.T) {
	h := newHarness(t, cache.Options{})
	w := h.watch(fmt.Sprintf("resourceVersion=%d", h.write("a", "1")))
	h.write("a", "2")
	w.next(1)
	w.cancel()
	if left := w.rest(); len(left) > 0 {
		t.Errorf("to a client that has gone the watch said %q", left)
	}
}

func TestWhatCannotBeReadIsLeftToUpstream(t *testing.T) {
	h := newHarness(t, cache.Options{})
	h.write("a", "1")
	if got := h.get(""); got.Code != http.StatusOK {
		t.Fatalf("while all can be read: %d", got.Code)
	}
	h.writeBytes("b", []byte("k8s\x00nonsense"))
	// Nobody knows whether a selector selects it: to leave it out of such a list would be to say that it is gone.
	for _, query := range []string{"", "?labelSelector=x", "?fieldSelector=metadata.name%3Da"} {
		if got := h.get(query); got.Code != http.StatusTeapot || got.Body.Len() > 0 {
			t.Errorf("list%s with an object that cannot be read: %d, %q", query, got.Code, got.Body)
		}
	}
	if got := h.object("a"); got.Code != http.StatusOK {
		t.Errorf("beside it: %d", got.Code)
	}
	if diff := cmp.Diff(map[Reason]int64{Unreadable: 3}, h.counts.LeftToUpstream()); diff != "" {
		t.Errorf("left to upstream (-want +got):\n%s", diff)
	}
}

func TestLimitsThatTheCacheIgnoresAreIgnoredByUpstreamToo(t *testing.T) {
	h := newHarness(t, cache.Options{})
	h.writeBytes("a", []byte("k8s\x00nonsense"))
	for _, test := range []struct{ name, query, upstream string }{
		{"the state of any revision", "labelSelector=x&limit=1&resourceVersion=0", "labelSelector=x&resourceVersion=0"},
		{"the newest state", "labelSelector=x&limit=1", "labelSelector=x&limit=1"},
		{"a limit that is refused", "resourceVersion=0&limit=-1", "resourceVersion=0&limit=-1"},
		{"no limit", "resourceVersion=0&limit=0", "resourceVersion=0&limit=0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/configmaps?"+test.query, nil)
			var got string
			h.withInfo(h.reader.List(func(_ http.ResponseWriter, req *http.Request) { got = req.URL.RawQuery }, false)).
				ServeHTTP(httptest.NewRecorder(), asked)
			if diff := cmp.Diff(test.upstream, got); diff != "" {
				t.Errorf("upstream is asked for (-want +got):\n%s", diff)
			}
			if asked.URL.RawQuery != test.query {
				t.Errorf("the request has been changed to %q", asked.URL.RawQuery)
			}
		})
	}
}

func TestAWatchTellsOfAnObjectThatCannotBeReadAndEnds(t *testing.T) {
	h := newHarness(t, cache.Options{})
	first := h.write("a", "1")
	for _, selector := range []string{"", "&labelSelector=x", "&fieldSelector=metadata.namespace%3Dn"} {
		w := h.watch(fmt.Sprintf("resourceVersion=%d%s", first, selector))
		first = h.writeBytes("b", []byte("k8s\x00nonsense"))
		lines := w.rest()
		if len(lines) != 1 || !strings.HasPrefix(lines[0], `{"type":"ERROR","object":{"kind":"Status"`) || !strings.Contains(lines[0], `"code":500`) {
			t.Errorf("the watch with %q ended with %q", selector, lines)
		}
	}
}
