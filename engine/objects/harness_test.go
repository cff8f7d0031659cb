package objects_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/api/apitesting"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	"k8s.io/apiserver/pkg/storage/value"

	"gatehouse/engine/objects"
	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

// storedPrefix is what the test transformer puts before everything that is stored.
const storedPrefix = "test!"

// house is a Store on a real database, with what tests need to reach behind it.
type house struct {
	*objects.Store
	backend     *countingBackend
	codec       runtime.Codec
	transformer *swappableTransformer
}

// open makes a house on an empty database. Its compaction runs only when the test asks for it.
func open(t testing.TB, change ...func(*objects.Config)) *house {
	t.Helper()
	return openOn(t, openDatabase(t, sqlite.Options{Retention: -1}), change...)
}

func openDatabase(t testing.TB, options sqlite.Options) storage.Store {
	t.Helper()
	database, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "gatehouse.db"), options)
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	t.Cleanup(func() {
		if err := database.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return database
}

func openOn(t testing.TB, database storage.Store, change ...func(*objects.Config)) *house {
	t.Helper()
	h := &house{backend: &countingBackend{Store: database}, codec: testCodec(), transformer: &swappableTransformer{}}
	h.transformer.set(storagetesting.NewPrefixTransformer([]byte(storedPrefix), false))
	config := objects.Config{
		Backend:        h.backend,
		Codec:          h.codec,
		Transformer:    h.transformer,
		ResourcePrefix: "/pods/",
		GroupResource:  schema.GroupResource{Resource: "pods"},
		NewObject:      func() runtime.Object { return &example.Pod{} },
	}
	for _, c := range change {
		c(&config)
	}
	var err error
	if h.Store, err = objects.New(config); err != nil {
		t.Fatalf("make the store: %v", err)
	}
	return h
}

func testCodec() runtime.Codec {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	utilruntime.Must(example.AddToScheme(scheme))
	utilruntime.Must(examplev1.AddToScheme(scheme))
	return apitesting.TestCodec(serializer.NewCodecFactory(scheme), examplev1.SchemeGroupVersion)
}

// countingBackend counts reads.
type countingBackend struct {
	storage.Store
	ranges atomic.Uint64
}

func (b *countingBackend) Range(ctx context.Context, r storage.RangeRequest) (storage.RangeResult, error) {
	b.ranges.Add(1)
	return b.Store.Range(ctx, r)
}

// swappableTransformer lets upstream's tests change the transformer under a running store.
type swappableTransformer struct {
	current atomic.Pointer[value.Transformer]
}

func (s *swappableTransformer) set(t value.Transformer) { s.current.Store(&t) }

func (s *swappableTransformer) get() value.Transformer { return *s.current.Load() }

func (s *swappableTransformer) TransformFromStorage(
	ctx context.Context, data []byte, dataCtx value.Context,
) ([]byte, bool, error) {
	return s.get().TransformFromStorage(ctx, data, dataCtx)
}

func (s *swappableTransformer) TransformToStorage(
	ctx context.Context, data []byte, dataCtx value.Context,
) ([]byte, error) {
	return s.get().TransformToStorage(ctx, data, dataCtx)
}

// UpdateTransformer implements storagetesting.InterfaceWithTransformerOverride.
func (h *house) UpdateTransformer(modify storagetesting.TransformerModifier) (revert func()) {
	before := h.transformer.get()
	h.transformer.set(modify(before))
	return func() { h.transformer.set(before) }
}

// UpdatePrefixTransformer implements storagetesting.InterfaceWithPrefixTransformer.
func (h *house) UpdatePrefixTransformer(modify storagetesting.PrefixTransformerModifier) (revert func()) {
	before := h.transformer.get()
	changed := *before.(*storagetesting.PrefixTransformer)
	h.transformer.set(modify(&changed))
	return func() { h.transformer.set(before) }
}

// touch commits a write that concerns no object, and returns its revision.
func (h *house) touch(ctx context.Context, t testing.TB) int64 {
	t.Helper()
	_, revision, err := h.backend.Apply(ctx, storage.Write{Key: "touched", Expected: storage.AnyRevision})
	if err != nil {
		t.Fatalf("raise the revision: %v", err)
	}
	return revision
}

// increaseRevision is upstream's hook of that purpose.
func (h *house) increaseRevision(ctx context.Context, t *testing.T) int64 { return h.touch(ctx, t) }

// compact is upstream's hook; its tests know that a compaction of etcd is a commit too.
func (h *house) compact(ctx context.Context, t *testing.T, resourceVersion string) {
	t.Helper()
	revision, err := strconv.ParseInt(resourceVersion, 10, 64)
	if err != nil {
		t.Fatalf("parse resourceVersion: %v", err)
	}
	h.touch(ctx, t)
	if err := h.backend.Compact(ctx, revision); err != nil {
		t.Fatalf("compact at %d: %v", revision, err)
	}
}

// checkStored is upstream's hook that looks at the stored bytes of a pod.
func (h *house) checkStored(ctx context.Context, t *testing.T, key string) {
	t.Helper()
	result, err := h.backend.Range(ctx, storage.RangeRequest{Start: key, End: key + "\x00"})
	if err != nil || len(result.Items) != 1 {
		t.Fatalf("read %s: %d items, error %v", key, len(result.Items), err)
	}
	stored, err := runtime.Decode(h.codec, result.Items[0].Value[len(storedPrefix):])
	if err != nil {
		t.Fatalf("decode %q: %v", result.Items[0].Value, err)
	}
	pod := stored.(*example.Pod)
	if pod.ResourceVersion != "" || pod.SelfLink != "" {
		t.Errorf("stored with resourceVersion %q and selfLink %q, want neither", pod.ResourceVersion, pod.SelfLink)
	}
}

// checkCalls is upstream's hook that knows how many objects and pages a list may read: pages double as long as they are not
// enough.
func (h *house) checkCalls(t *testing.T, pageSize, processed uint64) {
	t.Helper()
	if reads := h.transformer.get().(*storagetesting.PrefixTransformer).GetReadsAndReset(); reads != processed {
		t.Errorf("%d objects were decoded, want %d", reads, processed)
	}
	pages := uint64(1)
	for sum := uint64(1); pageSize != 0 && sum < processed; pages++ {
		pageSize = min(2*pageSize, 10000)
		sum += pageSize
	}
	if ranges := h.backend.ranges.Swap(0); ranges != pages {
		t.Errorf("%d pages were read, want %d", ranges, pages)
	}
}

func pod(name string) *example.Pod {
	return &example.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

func keyOf(p *example.Pod) string { return fmt.Sprintf("/pods/%s/%s", p.Namespace, p.Name) }

// create stores a pod and returns it as stored. It may be called from any goroutine.
func (h *house) create(t testing.TB, p *example.Pod) *example.Pod {
	t.Helper()
	out := &example.Pod{}
	if err := h.Create(context.Background(), keyOf(p), p, out, 0); err != nil {
		t.Errorf("create %s: %v", p.Name, err)
	}
	return out
}
