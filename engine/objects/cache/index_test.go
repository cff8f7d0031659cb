package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"gatehouse/engine/storage"
)

const nodeName = "spec.nodeName"

func onNode(name, node string) *corev1.Pod {
	p := pod(name)
	p.Spec.NodeName = node
	return p
}

// onNodeOf is the names of the pods that ScanField gives.
func onNodeOf(t testing.TB, v View, start, end, node string) []string {
	t.Helper()
	var names []string
	for e := range v.ScanField(start, end, nodeName, node) {
		names = append(names, strings.TrimPrefix(e.Key(), podsPrefix))
	}
	return names
}

// matching is the same by looking at every pod.
func matching(t testing.TB, v View, node string) []string {
	t.Helper()
	var names []string
	for e := range v.Scan("", "") {
		attributes, err := e.Attributes()
		if err == nil && attributes.Fields.Get(nodeName) == node {
			names = append(names, strings.TrimPrefix(e.Key(), podsPrefix))
		}
	}
	return names
}

func TestScanFieldFollowsTheCollection(t *testing.T) {
	h := open(t, Options{WindowEvents: 3})
	check := func(what, node string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, onNodeOf(t, h.view(t), "", "", node)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	h.put(t, onNode("a", "one"))
	h.put(t, onNode("b", "two"))
	h.put(t, onNode("c", "one"))
	check("at first", "one", "ns/a", "ns/c")
	check("at first", "two", "ns/b")
	check("of an unknown node", "three")
	h.put(t, onNode("a", "two"))
	check("after one has moved", "one", "ns/c")
	check("after one has moved", "two", "ns/a", "ns/b")
	h.remove(t, pod("c"))
	h.put(t, onNode("d", "one"))
	check("after a deletion and a creation", "one", "ns/d")
	for i := range 10 { // more than the window holds
		h.put(t, onNode(fmt.Sprintf("e%d", i), "three"))
	}
	h.put(t, onNode("a", "one"))
	check("after more than the window holds", "one", "ns/a", "ns/d")
	check("after more than the window holds", "two", "ns/b")
}

func TestScanFieldKeepsToItsRangeAndView(t *testing.T) {
	h := open(t, Options{})
	for _, name := range []string{"a", "b", "c", "d"} {
		h.put(t, onNode(name, "one"))
	}
	old := h.view(t)
	h.put(t, onNode("b", "two"))
	h.remove(t, pod("d"))
	view := h.view(t)
	for name, c := range map[string]struct {
		start, end string
		want       []string
	}{
		"all":               {"", "", []string{"ns/a", "ns/c"}},
		"the namespace":     {podsPrefix + "ns/", storage.PrefixEnd(podsPrefix + "ns/"), []string{"ns/a", "ns/c"}},
		"from a key on":     {keyOf("ns", "b"), "", []string{"ns/c"}},
		"before a key":      {"", keyOf("ns", "c"), []string{"ns/a"}},
		"another namespace": {podsPrefix + "other/", podsPrefix + "other0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, onNodeOf(t, view, c.start, c.end, "one")); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}
		})
	}
	// The index has moved on: an older view is scanned.
	if diff := cmp.Diff([]string{"ns/a", "ns/b", "ns/c", "ns/d"}, onNodeOf(t, old, "", "", "one")); diff != "" {
		t.Errorf("pods of an older view (-want +got):\n%s", diff)
	}
	for e := range view.ScanField("", "", "status.phase", "Running") {
		if e == nil {
			t.Error("a field without index gives nothing to look at")
		}
		break
	}
}

func TestScanFieldMissesNothingWhileWritersWrite(t *testing.T) {
	h := open(t, Options{WindowEvents: 16})
	var wait sync.WaitGroup
	for worker := range 3 {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 7))
			for range 80 {
				name := fmt.Sprintf("pod-%d-%d", worker, random.IntN(6))
				if h.view(t).Get(keyOf("ns", name)) != nil && random.IntN(3) == 0 {
					h.remove(t, pod(name))
				} else {
					h.put(t, onNode(name, fmt.Sprintf("node-%d", random.IntN(3))))
				}
				view := h.view(t)
				for n := range 3 {
					node := fmt.Sprintf("node-%d", n)
					given := map[string]bool{}
					for _, name := range onNodeOf(t, view, "", "", node) {
						given[name] = true
					}
					for _, name := range matching(t, view, node) {
						if !given[name] {
							t.Errorf("%s on %s is missing at revision %d", name, node, view.Revision())
						}
					}
				}
			}
		})
	}
	wait.Wait()
	for n := range 3 {
		node := fmt.Sprintf("node-%d", n)
		if diff := cmp.Diff(matching(t, h.view(t), node), onNodeOf(t, h.view(t), "", "", node)); diff != "" {
			t.Errorf("in the end, on %s (-want +got):\n%s", node, diff)
		}
	}
}

// TestAnObjectThatCannotBeReadMayHaveAnyValue: who selects by a field is shown it, for to be shown nothing would be to be told that it
// is gone.
func TestAnObjectThatCannotBeReadMayHaveAnyValue(t *testing.T) {
	h := open(t, Options{})
	h.put(t, onNode("a", "one")) // 2
	h.put(t, onNode("b", "one"))
	check := func(what, node string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, onNodeOf(t, h.view(t), "", "", node)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	damage := func(name string) {
		h.apply(t, storage.Write{Key: keyOf("ns", name), Value: []byte("nonsense"), Expected: storage.AnyRevision})
	}
	damage("b") // 4, before the index is first asked
	check("of its node", "one", "ns/a", "ns/b")
	check("of another", "two", "ns/b")
	onOne, _ := h.watch(t, WatchRequest{Field: nodeName, Value: "one"})
	onTwo, _ := h.watch(t, WatchRequest{Field: nodeName, Value: "two"})
	elsewhere, _ := h.watch(t, WatchRequest{Field: nodeName, Value: "one", Scope: podsPrefix + "elsewhere/"})
	damage("a") // 5
	check("when there is another", "two", "ns/a", "ns/b")
	h.put(t, onNode("a", "one")) // 6
	h.remove(t, pod("b"))        // 7
	check("when it is mended", "one", "ns/a")
	check("when it is mended", "two")

	want := []string{"modified ns/a@5 after 2", "modified ns/a@6 after 5", "deleted ns/b@7 after 4"}
	for what, w := range map[string]*Watcher{"its node": onOne, "another": onTwo} {
		if diff := cmp.Diff(want, await(t, w, len(want))); diff != "" {
			t.Errorf("watch of %s (-want +got):\n%s", what, diff)
		}
	}
	if events, _, err := elsewhere.Take(); len(events) > 0 || err != nil {
		t.Errorf("a watch of another namespace has %v, error %v", events, err)
	}
}
