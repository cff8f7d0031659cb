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

func checkList(t *testing.T, h *harness, atLeast int64) {
	got := h.get("")
	var list corev1.ConfigMapList
	if err := json.Unmarshal(got.Body.Bytes(), &list); err != nil || len(list.Items) != 2 {
		t.Errorf("list: %v, %d objects: %s", err, len(list.Items), got.Body)
		return
	}
	var values [2]int64
	for i := range list.Items {
		value, err := strconv.ParseInt(list.Items[i].Data["v"], 10, 64)
		if err != nil {
			t.Error(err)
		}
		values[i] = value
	}
	if first, second := values[0], values[1]; first < second || first > second+1 || second < atLeast {
		t.Errorf("a list begun after %d were acknowledged shows %d and %d", atLeast, first, second)
	}
}
