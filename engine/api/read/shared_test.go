package read

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/engine/objects/cache"
)

// TestManyWatchesSeeWhatOneSees has watches that share their frames beside others that cannot.
func TestManyWatchesSeeWhatOneSees(t *testing.T) {
	h := newHarness(t, cache.Options{})
	first := h.write("a", "1")
	const sharers = 2 * leastSharers
	query := fmt.Sprintf("resourceVersion=%d", first)
	var same []*watching
	for range sharers {
		same = append(same, h.watch(query))
	}
	selecting := h.watch(query + "&labelSelector=!x")
	named := h.watch(query + "&fieldSelector=metadata.name%3Da")
	inOne := h.watchWith(t.Context(), query, http.Header{"Accept": {"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}})

	modified, added := h.write("a", "2"), h.write("b", "1")
	deleted := h.remove("b")
	all := []string{event("MODIFIED", "a", "2", modified), event("ADDED", "b", "1", added), event("DELETED", "b", "1", deleted)}
	for n, w := range append(same, selecting) {
		if diff := cmp.Diff(all, w.next(len(all))); diff != "" {
			t.Errorf("watch %d (-want +got):\n%s", n, diff)
		}
	}
	if diff := cmp.Diff(all[:1], named.next(1)); diff != "" {
		t.Errorf("watch of one object (-want +got):\n%s", diff)
	}
	for n, line := range inOne.next(len(all)) {
		if !strings.Contains(line, `"kind":"PartialObjectMetadata"`) || strings.Contains(line, `"data"`) {
			t.Errorf("event %d is not of metadata alone: %s", n, line)
		}
	}

	last := h.write("c", "1")
	h.writeBytes("d", []byte("k8s\x00nonsense"))
	for n, w := range same {
		lines := w.rest()
		if len(lines) != 2 || lines[0] != event("ADDED", "c", "1", last) || !strings.HasPrefix(lines[1], `{"type":"ERROR"`) {
			t.Errorf("watch %d ends at an object that cannot be read with %q", n, lines)
		}
	}
}

func TestFramesAreMadeOnceForThoseWhoSeeTheSame(t *testing.T) {
	h := newHarness(t, cache.Options{})
	first := h.write("a", "1")
	streams := make([]*stream, leastSharers)
	for n := range streams {
		source, _, err := h.reader.Collection.Watch(t.Context(), cache.WatchRequest{After: first})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		streams[n] = &stream{
			reader: h.reader, source: source,
			selection: selection{everything: n != 1}, representation: representation{shape: h.reader.object},
		}
	}
	streams[2].encoding = cache.Protobuf
	h.write("a", "2")
	made := make([]*frames, len(streams))
	for n, s := range streams {
		<-s.source.Ready()
		batches, _, err := s.source.TakeBatches()
		for len(batches) == 0 && err == nil { // the first token is that of the beginning
			<-s.source.Ready()
			batches, _, err = s.source.TakeBatches()
		}
		if err != nil || len(batches) != 1 {
			t.Fatalf("%d batches, %v", len(batches), err)
		}
		made[n] = s.sharedFrames(batches[0])
	}
	if made[0] == nil || made[0] != made[3] {
		t.Errorf("two that see all in JSON have frames %p and %p", made[0], made[3])
	}
	if made[1] != nil {
		t.Error("one that does not see all has frames made for others")
	}
	if made[2] == nil || made[2] == made[0] {
		t.Errorf("one that sees all in protobuf has frames %p, those in JSON are %p", made[2], made[0])
	}
	if want := event("MODIFIED", "a", "2", first+1) + "\n"; string(made[0].bytes) != want {
		t.Errorf("frames %s, want %s", made[0].bytes, want)
	}
}
