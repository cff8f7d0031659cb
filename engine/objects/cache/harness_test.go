package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

const (
	podsPrefix = "/registry/pods/"
	// storedMark stands before everything that is stored, so that stored bytes and forms cannot be taken for each other.
	storedMark = "stored:"
	// waiting is how long a test waits for what must happen; it only passes when the test fails.
	waiting = 30 * time.Second
)

// house is a cache on a real database.
type house struct {
	*Cache
	pods                       *Collection
	store                      *gatedStore
	version                    *Version // with a way back from Protobuf
	encoded, decoded, restored atomic.Int64
}

// gatedStore lets tests hold reads of the store.
type gatedStore struct {
	storage.Store
	ranged atomic.Int64
	// before and after run around every Range; nil for nothing.
	before, after func()
}

func (s *gatedStore) Range(ctx context.Context, r storage.RangeRequest) (storage.RangeResult, error) {
	s.ranged.Add(1)
	if s.before != nil {
		s.before()
	}
	result, err := s.Store.Range(ctx, r)
	if s.after != nil {
		s.after()
	}
	return result, err
}

func open(t testing.TB, options Options) *house {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "gatehouse.db"), options)
}

func openAt(t testing.TB, path string, options Options) *house {
	t.Helper()
	ctx := context.Background()
	h := &house{Cache: New(options)}
	t.Cleanup(h.Close)
	store, err := sqlite.Open(ctx, path, sqlite.Options{
		Observers: []storage.Observer{h.Observe}, Retention: -1, WatchEvents: 1 << 20, WatchBytes: 1 << 40,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	h.store = &gatedStore{Store: store}
	if err := h.Serve(ctx, h.store); err != nil {
		t.Fatal(err)
	}
	h.pods = h.Attach(Resource{
		Prefix: podsPrefix, Decode: h.decodeStored, Attributes: podAttributes, Indexed: []string{nodeName},
	})
	h.version = &Version{Encode: h.encode, Decode: h.restore}
	return h
}

func (h *house) decodeStored(key string, value []byte, revision int64) (runtime.Object, error) {
	h.decoded.Add(1)
	data, ok := strings.CutPrefix(string(value), storedMark)
	if !ok {
		return nil, fmt.Errorf("%s does not hold stored bytes", key)
	}
	pod := &corev1.Pod{}
	if err := pod.Unmarshal([]byte(data)); err != nil {
		return nil, err
	}
	pod.ResourceVersion = strconv.FormatInt(revision, 10)
	return pod, nil
}

func (h *house) restore(protobuf Form) (runtime.Object, error) {
	h.restored.Add(1)
	pod := &corev1.Pod{}
	return pod, pod.Unmarshal(protobuf.AppendTo(nil))
}

func (h *house) encode(object runtime.Object, encoding Encoding) ([]byte, error) {
	h.encoded.Add(1)
	if encoding == Protobuf {
		return object.(*corev1.Pod).Marshal()
	}
	return json.Marshal(object)
}

func podAttributes(object runtime.Object) (labels.Set, fields.Set, error) {
	pod := object.(*corev1.Pod)
	if pod.Annotations["attributes"] == "none" {
		return nil, nil, fmt.Errorf("pod %s has none", pod.Name)
	}
	return pod.Labels, fields.Set{
		"metadata.name": pod.Name, "metadata.namespace": pod.Namespace,
		"spec.nodeName": pod.Spec.NodeName, "status.phase": string(pod.Status.Phase),
	}, nil
}

func keyOf(namespace, name string) string { return podsPrefix + namespace + "/" + name }

func pod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

// labelled is a pod whose state can be told by one label.
func labelled(name, state string) *corev1.Pod {
	p := pod(name)
	p.Labels = map[string]string{"state": state}
	return p
}

// put writes a pod whatever is there, and returns the revision. It may be called from any goroutine.
func (h *house) put(t testing.TB, p *corev1.Pod) int64 {
	t.Helper()
	data, err := p.Marshal()
	if err != nil {
		t.Error(err)
	}
	return h.apply(t, storage.Write{
		Key: keyOf(p.Namespace, p.Name), Value: append([]byte(storedMark), data...), Expected: storage.AnyRevision,
	})
}

func (h *house) remove(t testing.TB, p *corev1.Pod) int64 {
	t.Helper()
	return h.apply(t, storage.Write{Key: keyOf(p.Namespace, p.Name), Delete: true, Expected: storage.AnyRevision})
}

// elsewhere raises the revision without touching a pod.
func (h *house) elsewhere(t testing.TB) int64 {
	t.Helper()
	return h.apply(t, storage.Write{Key: "/registry/leases/x", Value: []byte("x"), Expected: storage.AnyRevision})
}

func (h *house) apply(t testing.TB, w storage.Write) int64 {
	t.Helper()
	_, revision, err := h.store.Apply(context.Background(), w)
	if err != nil {
		t.Errorf("write: %v", err)
	}
	return revision
}

func (h *house) view(t testing.TB) View {
	t.Helper()
	view, err := h.pods.View(context.Background())
	if err != nil {
		t.Fatalf("view: %v", err)
	}
	return view
}

// listed is the view's keys behind the prefix, with the revision of each.
func listed(v View) []string {
	var found []string
	for e := range v.Scan("", "") {
		found = append(found, fmt.Sprintf("%s@%d", strings.TrimPrefix(e.Key(), podsPrefix), e.Revision()))
	}
	return found
}

// stored is the same, read from the database at the view's revision.
func (h *house) stored(t testing.TB, v View) []string {
	t.Helper()
	result, err := h.store.Store.Range(context.Background(), storage.RangeRequest{
		Start: podsPrefix, End: storage.PrefixEnd(podsPrefix), Revision: v.Revision(),
	})
	if err != nil {
		t.Fatalf("read the store: %v", err)
	}
	var found []string
	for _, item := range result.Items {
		found = append(found, fmt.Sprintf("%s@%d", strings.TrimPrefix(item.Key, podsPrefix), item.ModRevision))
	}
	return found
}

func (h *house) watch(t testing.TB, q WatchRequest) (*Watcher, View) {
	t.Helper()
	w, view, err := h.pods.Watch(context.Background(), q)
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	t.Cleanup(w.Close)
	return w, view
}

// await returns the next n events, written as sentences.
func await(t testing.TB, w *Watcher, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waiting)
	defer cancel()
	var told []string
	for len(told) < n {
		events, revision, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(told), n, err)
		}
		for _, e := range events {
			if e.Revision > revision {
				t.Errorf("an event of revision %d came with revision %d", e.Revision, revision)
			}
			told = append(told, e.String())
		}
	}
	return told
}

// String tells an event apart in tests.
func (e *Event) String() string {
	previous := "nothing"
	if e.Previous != nil {
		previous = strconv.FormatInt(e.Previous.Revision(), 10)
	}
	return fmt.Sprintf("%s %s@%d after %s", []string{"added", "modified", "deleted"}[e.Kind],
		strings.TrimPrefix(e.Entry.Key(), podsPrefix), e.Revision, previous)
}

func form(t testing.TB, e *Entry, v *Version, encoding Encoding) []byte {
	t.Helper()
	made, err := e.Form(v, encoding)
	if err != nil {
		t.Fatalf("form: %v", err)
	}
	return made.AppendTo(nil)
}

func podOf(t testing.TB, e *Entry) *corev1.Pod {
	t.Helper()
	object, err := e.Object()
	if err != nil {
		t.Fatalf("object: %v", err)
	}
	return object.(*corev1.Pod)
}

// treeAt is what the database held at a revision.
func (h *house) treeAt(t testing.TB, revision int64) *tree {
	t.Helper()
	result, err := h.store.Store.Range(context.Background(), storage.RangeRequest{
		Start: podsPrefix, End: storage.PrefixEnd(podsPrefix), Revision: revision,
	})
	if err != nil {
		t.Errorf("read the store at revision %d: %v", revision, err)
	}
	planted := newTree()
	h.pods.plant(planted, result.Items)
	return planted
}

// watchers is how many watch pods.
func (h *house) watchers() int { return h.dispatcher.watchers(h.pods) }
