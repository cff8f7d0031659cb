package informers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientcache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"gatehouse/engine/objects/cache"
)

// keep adds a handler that keeps a diary.
func keep(t testing.TB, informer clientcache.SharedIndexInformer, d *diary) clientcache.ResourceEventHandlerRegistration {
	t.Helper()
	handle, err := informer.AddEventHandler(d)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

func TestHandlersAreToldOfWhatIsThereAndThenOfEachChange(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	h.putPod(t, "b", "old")
	h.putPod(t, "a", "old")
	informer := h.Core().V1().Pods().Informer()
	early, late := newDiary(nil), newDiary(nil)
	handle := keep(t, informer, early)
	if handle.HasSynced() || informer.HasSynced() {
		t.Error("synced before the start")
	}
	h.start(t)
	until(t, "the handler to be told of what is there", handle.HasSyncedChecker().Done())
	if diff := cmp.Diff([]string{"begin with a@3 old", "begin with b@2 old"}, early.await(t, 2)); diff != "" {
		t.Fatalf("before a write (-want +got):\n%s", diff)
	}
	if !informer.HasSynced() {
		t.Error("the handler has synced, and the informer has not")
	}
	h.putPod(t, "a", "new")
	h.putPod(t, "c", "new")
	h.removePod(t, "b")
	h.putPod(t, "b", "again")
	want := []string{"update a@3 old to a@4 new", "add c@5 new", "delete b@6 old", "add b@7 again"}
	if diff := cmp.Diff(want, early.await(t, 6)[2:]); diff != "" {
		t.Errorf("after the writes (-want +got):\n%s", diff)
	}
	keep(t, informer, late)
	want = []string{"begin with a@4 new", "begin with b@7 again", "begin with c@5 new"}
	if diff := cmp.Diff(want, late.await(t, 3)); diff != "" {
		t.Errorf("a handler that came later (-want +got):\n%s", diff)
	}
	if rv := informer.LastSyncResourceVersion(); rv != "7" {
		t.Errorf("last seen %s, want 7", rv)
	}
}

func TestHandlersHaveSyncedOnlyWhenTheyHaveTakenAll(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	h.putPod(t, "a", "")
	h.putPod(t, "b", "")
	informer := h.Core().V1().Pods().Informer()
	gate := make(chan struct{})
	diary := newDiary(gate)
	handle := keep(t, informer, diary)
	h.start(t)
	diary.await(t, 1)
	gate <- struct{}{}
	diary.await(t, 2)
	if handle.HasSynced() {
		t.Error("synced while the handler is busy with the last one")
	}
	gate <- struct{}{}
	until(t, "the handler to sync", handle.HasSyncedChecker().Done())
}

// stalled is a house whose watchers may fall behind by four events only, and a handler that waits, having been told of pod "first"; release lets it go on.
func stalled(t *testing.T, window int) (h *house, d *diary, release func()) {
	t.Helper()
	h = newHouse(t, cache.Options{WatchEvents: 4, WindowEvents: window}, Options{})
	h.putPod(t, "first", "old")
	h.putPod(t, "leaving", "old")
	gate := make(chan struct{})
	d = newDiary(gate)
	handle := keep(t, h.Core().V1().Pods().Informer(), d)
	h.start(t)
	d.await(t, 1)
	gate <- struct{}{}
	d.await(t, 2)
	gate <- struct{}{}
	until(t, "the handler to sync", handle.HasSyncedChecker().Done())
	h.putPod(t, "first", "1")
	d.await(t, 3)
	return h, d, func() { close(gate) }
}

func TestSlowHandlersMissNothingThatCanStillBeRead(t *testing.T) {
	h, d, release := stalled(t, 100)
	h.removePod(t, "leaving")
	want := []string{"delete leaving@5 old", "update first@4 1 to first@6 2"}
	h.putPod(t, "first", "2")
	for i := range 20 {
		h.putPod(t, "first", fmt.Sprint(i+3))
		want = append(want, fmt.Sprintf("update first@%d %d to first@%d %d", i+6, i+2, i+7, i+3))
	}
	release()
	if diff := cmp.Diff(want, d.await(t, 3+len(want))[3:]); diff != "" {
		t.Errorf("what the handler was told (-want +got):\n%s", diff)
	}
}

func TestSlowHandlersAreToldTheDifferenceWhenTheHistoryIsGone(t *testing.T) {
	h, d, release := stalled(t, 4)
	h.removePod(t, "leaving")
	for i := range 20 {
		h.putPod(t, "first", fmt.Sprint(i+2))
		h.putPod(t, fmt.Sprintf("passing-%d", i), "")
		h.removePod(t, fmt.Sprintf("passing-%d", i))
	}
	h.putPod(t, "second", "new")
	h.compact(t)
	release()
	want := []string{
		"update first@4 1 to first@63 21",
		"add second@66 new",
		"delete ns/leaving, last seen as leaving@3 old",
	}
	entries := d.await(t, 6)[3:]
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Errorf("what the handler was told (-want +got):\n%s", diff)
	}
	h.putPod(t, "first", "then")
	if diff := cmp.Diff("update first@63 21 to first@67 then", d.await(t, 7)[6]); diff != "" {
		t.Errorf("what came then (-want +got):\n%s", diff)
	}
}

func TestBrokenStatesAreNotToldButTheirEndIs(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	h.breakPod(t, "a")
	h.putPod(t, "b", "good")
	diary := newDiary(nil)
	keep(t, h.Core().V1().Pods().Informer(), diary)
	h.start(t)
	diary.await(t, 1)
	h.putPod(t, "a", "mended")
	h.breakPod(t, "b")
	h.removePod(t, "b")
	want := []string{"begin with b@3 good", "add a@4 mended", "delete ns/b, last seen as <nil>"}
	if diff := cmp.Diff(want, diary.await(t, 3)); diff != "" {
		t.Errorf("what the handler was told (-want +got):\n%s", diff)
	}
}

func TestHandlersCanBeRemoved(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	informer := h.Core().V1().Pods().Informer()
	never, gone, stays := newDiary(nil), newDiary(nil), newDiary(nil)
	neverHandle, goneHandle := keep(t, informer, never), keep(t, informer, gone)
	keep(t, informer, stays)
	if err := clientcache.ShutDownEventHandler(informer, neverHandle); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	h.putPod(t, "a", "")
	gone.await(t, 1)
	for range 2 { // the second time does nothing
		if err := clientcache.ShutDownEventHandler(informer, goneHandle); err != nil {
			t.Fatal(err)
		}
	}
	h.putPod(t, "b", "")
	stays.await(t, 2)
	if n := len(gone.await(t, 0)); n != 1 {
		t.Errorf("a removed handler was told %d times, want once", n)
	}
	if n := len(never.await(t, 0)); n != 0 {
		t.Errorf("a handler removed before the start was told %d times", n)
	}
	other := h.Core().V1().Namespaces().Informer()
	if err := other.RemoveEventHandler(struct {
		clientcache.ResourceEventHandlerRegistration
	}{}); err == nil {
		t.Error("a foreign handle was removed")
	}
}

func TestHandlersEndWithTheContextOfTheStart(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	h.putPod(t, "a", "")
	informer := h.Core().V1().Pods().Informer()
	handle := keep(t, informer, newDiary(nil))
	ctx, cancel := context.WithCancel(context.Background())
	h.StartWithContext(ctx)
	until(t, "the handler to sync", handle.HasSyncedChecker().Done())
	cancel()
	h.Shutdown() // returns when all goroutines have ended
	if !informer.IsStopped() {
		t.Error("the informer has not stopped")
	}
	if _, err := informer.AddEventHandler(newDiary(nil)); err == nil {
		t.Error("a handler was added to an informer that has stopped")
	}
	if _, exists, err := informer.GetIndexer().GetByKey("ns/a"); !exists || err != nil {
		t.Errorf("the lister of an informer that has stopped: %t, %v", exists, err)
	}
}

func TestAPanicOfAHandlerHarmsNobody(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	informer := h.Core().V1().Pods().Informer()
	diary := newDiary(nil)
	if _, err := informer.AddEventHandler(clientcache.ResourceEventHandlerFuncs{AddFunc: func(object any) {
		diary.OnAdd(object, false)
		if told(object) == "a@2 " {
			panic("a")
		}
	}}); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	h.putPod(t, "a", "")
	h.putPod(t, "b", "")
	diary.await(t, 2)
}

func TestInformersSyncWhenWhatTheyReadTurnsUpLate(t *testing.T) {
	h := unserved(t, cache.Options{}, Options{})
	h.putPod(t, "a", "")
	asked := 0
	h.Serve(func(kind schema.GroupVersionKind) (Resource, error) {
		if asked++; asked <= 2 {
			return Resource{}, errors.New("not yet")
		}
		return h.resolve(kind)
	})
	informer := h.Core().V1().Pods().Informer()
	diary := newDiary(nil)
	keep(t, informer, diary)
	h.start(t)
	diary.await(t, 1)
	if !informer.HasSynced() {
		t.Error("a handler has been told, and the informer has not synced")
	}
}

// tickers is a clock that tells when a ticker was made.
type tickers struct {
	*clocktesting.FakeClock
	made chan time.Duration
}

func (c tickers) NewTicker(d time.Duration) clock.Ticker {
	ticker := c.FakeClock.NewTicker(d)
	c.made <- d
	return ticker
}

func TestResyncsTellOfEverythingAgain(t *testing.T) {
	c := tickers{clocktesting.NewFakeClock(time.Unix(0, 0)), make(chan time.Duration, 2)}
	h := newHouse(t, cache.Options{}, Options{Clock: c, Resync: time.Minute})
	h.putPod(t, "a", "")
	h.putPod(t, "b", "")
	informer := h.Core().V1().Pods().Informer()
	byDefault, own, never := newDiary(nil), newDiary(nil), newDiary(nil)
	handle := keep(t, informer, byDefault)
	ownHandle, err := informer.AddEventHandlerWithResyncPeriod(own, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	neverHandle, err := informer.AddEventHandlerWithResyncPeriod(never, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.start(t)
	periods := map[time.Duration]bool{<-c.made: true, <-c.made: true}
	if diff := cmp.Diff(map[time.Duration]bool{time.Minute: true, minResync: true}, periods); diff != "" {
		t.Errorf("resync periods (-want +got):\n%s", diff)
	}
	for _, handle := range []clientcache.ResourceEventHandlerRegistration{handle, ownHandle, neverHandle} {
		until(t, "the handlers to sync", handle.HasSyncedChecker().Done())
	}
	h.removePod(t, "b")
	byDefault.await(t, 3)
	own.await(t, 3)
	c.Step(time.Minute)
	for _, diary := range []*diary{byDefault, own} {
		if diff := cmp.Diff("update a@2  to a@2 ", diary.await(t, 4)[3]); diff != "" {
			t.Errorf("resync (-want +got):\n%s", diff)
		}
	}
	h.putPod(t, "c", "")
	if diff := cmp.Diff("add c@5 ", never.await(t, 4)[3]); diff != "" {
		t.Errorf("what a handler that wants no resync is told next (-want +got):\n%s", diff)
	}
}
