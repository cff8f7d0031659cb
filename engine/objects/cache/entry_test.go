package cache

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// entryOf stores a pod and returns its entry.
func (h *house) entryOf(t testing.TB, p *corev1.Pod) *Entry {
	t.Helper()
	h.put(t, p)
	return h.view(t).Get(keyOf(p.Namespace, p.Name))
}

func TestFormsAreMadeOnFirstUseAndOnce(t *testing.T) {
	h := open(t, Options{})
	e := h.entryOf(t, labelled("a", "new"))
	if n := h.encoded.Load() + h.decoded.Load(); n != 0 {
		t.Fatalf("%d steps were taken before anybody asked", n)
	}
	var wait sync.WaitGroup
	results := make([][]byte, 16)
	for i := range results {
		wait.Go(func() { results[i] = form(t, e, h.version, Encoding(i%2)) })
	}
	wait.Wait()
	if n := h.encoded.Load(); n != 2 {
		t.Errorf("two forms were made in %d encodings", n)
	}
	want := podOf(t, e)
	wantJSON, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for i, bytes := range results {
		if diff := cmp.Diff(results[i%2], bytes); diff != "" {
			t.Errorf("caller %d got other bytes (-first +got):\n%s", i, diff)
		}
	}
	if diff := cmp.Diff(string(wantJSON), string(results[JSON])); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	var decoded corev1.Pod
	if err := decoded.Unmarshal(results[Protobuf]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &decoded); diff != "" {
		t.Errorf("Protobuf (-want +got):\n%s", diff)
	}
}

func TestProtobufFormTakesTheStoredBytesPlace(t *testing.T) {
	h := open(t, Options{})
	oneWay := &Version{Encode: h.encode}
	e := h.entryOf(t, labelled("a", "new"))
	before := podOf(t, e)

	form(t, e, oneWay, Protobuf)
	form(t, e, h.version, JSON)
	if e.content.Load().in != nil {
		t.Error("a form that says less, or something else, took the stored bytes' place")
	}
	form(t, e, h.version, Protobuf)
	if c := e.content.Load(); c.in != h.version {
		t.Error("the stored bytes are still there")
	}
	stored := h.decoded.Load()
	if diff := cmp.Diff(before, podOf(t, e)); diff != "" {
		t.Errorf("object from its Protobuf form (-want +got):\n%s", diff)
	}
	if h.restored.Load() == 0 || h.decoded.Load() != stored {
		t.Error("the object was not made of its Protobuf form")
	}
}

func TestObjectsBelongToTheirCallers(t *testing.T) {
	h := open(t, Options{})
	e := h.entryOf(t, labelled("a", "new"))
	podOf(t, e).Labels["state"] = "changed"
	if state := podOf(t, e).Labels["state"]; state != "new" {
		t.Errorf("a caller changed the entry: state is %q", state)
	}
}

func TestDepartedShowsTheStateBeforeAtTheEventsRevision(t *testing.T) {
	h := open(t, Options{})
	h.view(t)
	h.put(t, labelled("a", "old"))
	w, _ := h.watch(t, WatchRequest{After: 1})
	changed := h.put(t, labelled("a", "new"))
	removed := h.remove(t, pod("a"))
	await(t, w, 3)
	events, held := h.pods.window.after(1)
	if !held || len(events) != 3 {
		t.Fatalf("the window holds %v", events)
	}
	if events[0].Departed() != nil {
		t.Error("something departed when the pod was added")
	}
	for name, c := range map[string]struct {
		entry    *Entry
		state    string
		revision int64
	}{
		"left by an update": {events[1].Departed(), "old", changed},
		"deleted":           {events[2].Entry, "new", removed},
	} {
		t.Run(name, func(t *testing.T) {
			// Whether the state before is still as stored or in its form must not matter.
			for range 2 {
				got := podOf(t, c.entry)
				if got.Labels["state"] != c.state || got.ResourceVersion != strconv.FormatInt(c.revision, 10) {
					t.Errorf("got state %q at %s, want %q at %d", got.Labels["state"], got.ResourceVersion, c.state, c.revision)
				}
				form(t, c.entry.source, h.version, Protobuf)
			}
			if c.entry.Revision() != c.revision {
				t.Errorf("the entry is of revision %d, want %d", c.entry.Revision(), c.revision)
			}
			attributes, err := c.entry.Attributes()
			if err != nil || attributes.Labels.Get("state") != c.state {
				t.Errorf("attributes %v, error %v", attributes.Labels.Map(), err)
			}
			var served corev1.Pod
			if err := json.Unmarshal(form(t, c.entry, h.version, JSON), &served); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(podOf(t, c.entry), &served); diff != "" {
				t.Errorf("JSON (-object +form):\n%s", diff)
			}
		})
	}
	if events[1].Departed() != events[1].Departed() || events[2].Departed() != events[2].Entry {
		t.Error("watchers do not share what departed")
	}
}

func TestErrorsNameTheObjectAndAreNotKept(t *testing.T) {
	h := open(t, Options{})
	e := h.entryOf(t, pod("a"))
	broken, failing := errors.New("broken"), true
	version := &Version{Encode: func(o runtime.Object, encoding Encoding) ([]byte, error) {
		if failing {
			return nil, broken
		}
		return h.encode(o, encoding)
	}}
	_, err := e.Form(version, JSON)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "encode /registry/pods/ns/a at revision 2") {
		t.Errorf("got error %v", err)
	}
	failing = false
	form(t, e, version, JSON)

	h.pods.resource.Decode = func(string, []byte, int64) (runtime.Object, error) { return nil, broken }
	e = h.entryOf(t, pod("b"))
	for what, err := range map[string]error{
		"decode": func() error { _, err := e.Object(); return err }(),
		"encode": func() error { _, err := e.Form(h.version, Protobuf); return err }(),
	} {
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), what+" /registry/pods/ns/b at revision 3") {
			t.Errorf("%s: got error %v", what, err)
		}
	}
}

func TestFormsStayWithinTheirBudget(t *testing.T) {
	const pods, limit = 50, 20 << 10
	h := open(t, Options{FormBytes: limit})
	for i := range pods {
		p := pod("pod-" + strconv.Itoa(i))
		p.Annotations = map[string]string{"filling": strings.Repeat("x", 1000)}
		h.put(t, p)
	}
	view := h.view(t)
	kept := func() (n int) {
		for e := range view.Scan("", "") {
			if f := e.formsIn(h.version); f != nil && f.kept[JSON].Load() != nil {
				n++
			}
		}
		return n
	}
	favourite := view.Get(keyOf("ns", "pod-7"))
	for e := range view.Scan("", "") {
		form(t, e, h.version, JSON)
		form(t, e, h.version, Protobuf)
		form(t, favourite, h.version, JSON)
		if used := h.Stats().FormBytes; used > limit {
			t.Fatalf("%d bytes are kept, more than %d", used, limit)
		}
	}
	if n := kept(); n < 10 || n > 20 {
		t.Errorf("%d forms of about 1.2 KB are kept in %d bytes", n, limit)
	}
	if favourite.formsIn(h.version).kept[JSON].Load() == nil {
		t.Error("the form in use all the time was dropped")
	}
	for e := range view.Scan("", "") {
		if _, found := e.formAtHand(h.version, Protobuf); !found {
			t.Errorf("the only encoding of %s was dropped", e.Key())
		}
	}
}

func TestFormsOfWhatIsGoneAreDropped(t *testing.T) {
	h := open(t, Options{WindowEvents: 4})
	h.put(t, pod("a"))
	for range 20 {
		form(t, h.view(t).Get(keyOf("ns", "a")), h.version, JSON)
		h.put(t, pod("a"))
	}
	events, _ := h.pods.window.after(h.pods.window.from)
	if h.pods.window.from == 0 || len(events) != 4 {
		t.Fatalf("the window holds %v", events)
	}
	forms := 0
	h.budget.mu.Lock()
	defer h.budget.mu.Unlock()
	for k := h.budget.hand; k != nil; k = k.next {
		if forms++; k.next == h.budget.hand {
			break
		}
	}
	// One for each state that an event in the window replaced; the present one has not been asked for.
	if forms != 4 {
		t.Errorf("%d forms are kept, want 4", forms)
	}
}

func TestTheWriterDoesNotWaitForForms(t *testing.T) {
	h := open(t, Options{WindowEvents: 1})
	h.view(t)
	e := h.entryOf(t, pod("a"))
	w, _ := h.watch(t, WatchRequest{})
	begun, finish, made := make(chan struct{}), make(chan struct{}), make(chan struct{})
	version := &Version{Encode: func(o runtime.Object, encoding Encoding) ([]byte, error) {
		close(begun)
		<-finish
		return h.encode(o, encoding)
	}}
	go func() {
		defer close(made)
		if _, err := e.Form(version, JSON); err != nil {
			t.Errorf("form: %v", err)
		}
	}()
	<-begun
	// The entry is replaced, and then the event that replaced it leaves the window.
	h.put(t, pod("a"))
	h.put(t, pod("a"))
	await(t, w, 2)
	if now := h.view(t).Get(keyOf("ns", "a")); now.Revision() != 4 {
		t.Errorf("the present is of revision %d, want 4", now.Revision())
	}
	close(finish)
	<-made
}

// TestFormsUnderPressure makes, drops and retires forms of the same entries at once; the race detector looks on.
func TestFormsUnderPressure(t *testing.T) {
	h := open(t, Options{FormBytes: 2 << 10, WindowEvents: 2})
	oneWay := &Version{Encode: h.encode}
	for i := range 4 {
		h.put(t, pod("pod-"+strconv.Itoa(i)))
	}
	h.view(t)
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for n := range 150 {
				if worker == 0 {
					h.put(t, labelled("pod-"+strconv.Itoa(n%4), strconv.Itoa(n)))
				}
				for e := range h.view(t).Scan("", "") {
					for _, version := range []*Version{h.version, oneWay} {
						for _, encoding := range []Encoding{JSON, Protobuf} {
							form(t, e, version, encoding)
						}
					}
					var served corev1.Pod
					if err := json.Unmarshal(form(t, e, h.version, JSON), &served); err != nil {
						t.Error(err)
					}
					if served.ResourceVersion != strconv.FormatInt(e.Revision(), 10) {
						t.Errorf("the form of revision %d says %s", e.Revision(), served.ResourceVersion)
					}
				}
			}
		})
	}
	wait.Wait()
	if kept := h.Stats().FormBytes; kept > 2<<10 {
		t.Errorf("%d bytes are kept", kept)
	}
}
