package read

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gatehouse/engine/objects/cache"
)

// TestReadsShowEveryWriteAcknowledgedBeforeThem has readers and watches beside a writer that counts in two objects, one after
// the other. A list shows both at one revision: they never differ by more than one, and never lag behind what was acknowledged.
func TestReadsShowEveryWriteAcknowledgedBeforeThem(t *testing.T) {
	const writes, readers = 60, 3
	h := newHarness(t, cache.Options{})
	h.write("first", "0")
	begin := h.write("second", "0")
	w := h.watch(fmt.Sprintf("resourceVersion=%d", begin))
	var acknowledged atomic.Int64 // in both
	done := make(chan struct{})
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					checkList(t, h, acknowledged.Load())
					checkPages(t, h, acknowledged.Load())
					checkObject(t, h, acknowledged.Load())
				}
			}
		})
	}
	for n := range int64(writes) {
		h.write("first", fmt.Sprint(n+1))
		h.write("second", fmt.Sprint(n+1))
		acknowledged.Store(n + 1)
	}
	close(done)
	all.Wait()
	for n, line := range w.next(2 * writes) {
		if want := fmt.Sprintf(`"data":{"v":"%d"}`, n/2+1); !strings.Contains(line, want) {
			t.Fatalf("event %d is not of %s: %s", n, want, line)
		}
	}
}

// checkList reads both objects at once.
func checkList(t *testing.T, h *harness, atLeast int64) {
	list := readList(t, h, "")
	if len(list.Items) != 2 {
		t.Errorf("a list has %d objects instead of 2", len(list.Items))
		return
	}
	checkBoth(t, "a list", counted(t, &list.Items[0]), counted(t, &list.Items[1]), atLeast)
}

// checkPages reads one object after the other, at one revision.
func checkPages(t *testing.T, h *harness, atLeast int64) {
	first := readList(t, h, "?limit=1")
	second := readList(t, h, "?limit=1&continue="+first.Continue)
	if len(first.Items) != 1 || len(second.Items) != 1 || first.ResourceVersion != second.ResourceVersion {
		t.Errorf("pages have %d and %d objects, at revisions %s and %s",
			len(first.Items), len(second.Items), first.ResourceVersion, second.ResourceVersion)
		return
	}
	checkBoth(t, "a list in pages", counted(t, &first.Items[0]), counted(t, &second.Items[0]), atLeast)
}

func checkBoth(t *testing.T, what string, first, second, atLeast int64) {
	if first < second || first > second+1 || second < atLeast {
		t.Errorf("%s begun after %d were acknowledged shows %d and %d", what, atLeast, first, second)
	}
}

func checkObject(t *testing.T, h *harness, atLeast int64) {
	got := h.object("second")
	object := &corev1.ConfigMap{}
	if err := json.Unmarshal(got.Body.Bytes(), object); err != nil {
		t.Errorf("get: %v: %s", err, got.Body)
	}
	if n := counted(t, object); n < atLeast {
		t.Errorf("a get begun after %d were acknowledged shows %d", atLeast, n)
	}
}

// readList reads what is there.
func readList(t *testing.T, h *harness, query string) *corev1.ConfigMapList {
	got := h.get(query)
	list := &corev1.ConfigMapList{}
	if err := json.Unmarshal(got.Body.Bytes(), list); err != nil {
		t.Errorf("list%s: %v: %s", query, err, got.Body)
	}
	return list
}

// counted is how far the writer had come with an object.
func counted(t *testing.T, object *corev1.ConfigMap) int64 {
	n, err := strconv.ParseInt(object.Data["v"], 10, 64)
	if err != nil {
		t.Error(err)
	}
	return n
}
