package informers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apistorage "k8s.io/apiserver/pkg/storage"
	clientcache "k8s.io/client-go/tools/cache"

	"gatehouse/engine/objects/cache"
	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

// waiting is how long a test waits for what must happen; it only passes when the test fails.
const waiting = 30 * time.Second

// house is a factory over a cache on a real database.
type house struct {
	*Factory
	store storage.Store
	cache *cache.Cache // which store feeds
	// decoded counts the objects that were decoded.
	mu      sync.Mutex
	decoded map[string]int
}

// message is an object that is stored as protobuf.
type message interface {
	runtime.Object
	metav1.Object
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

var prefixes = map[string]struct {
	resource schema.GroupResource
	prefix   string
	empty    func() message
	spread   bool // over namespaces
}{
	"Pod":                {corev1.SchemeGroupVersion.WithResource("pods").GroupResource(), "/registry/pods/", func() message { return &corev1.Pod{} }, true},
	"Namespace":          {corev1.SchemeGroupVersion.WithResource("namespaces").GroupResource(), "/registry/namespaces/", func() message { return &corev1.Namespace{} }, false},
	"RoleBinding":        {rbacv1.SchemeGroupVersion.WithResource("rolebindings").GroupResource(), "/registry/rolebindings/", func() message { return &rbacv1.RoleBinding{} }, true},
	"ClusterRoleBinding": {rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings").GroupResource(), "/registry/clusterrolebindings/", func() message { return &rbacv1.ClusterRoleBinding{} }, false},
}

// broken is what is stored of an object that cannot be decoded.
var broken = []byte("broken")

// newHouse serves from an empty database.
func newHouse(t testing.TB, bounds cache.Options, options Options) *house {
	t.Helper()
	h := unserved(t, bounds, options)
	h.Serve(h.resolve)
	return h
}

// unserved is a house of which the informers have nothing to read from yet.
func unserved(t testing.TB, bounds cache.Options, options Options) *house {
	t.Helper()
	c := cache.New(bounds)
	t.Cleanup(c.Close)
	store, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "gatehouse.db"), sqlite.Options{
		Observers: []storage.Observer{c.Observe}, Retention: -1, WatchEvents: 1 << 20, WatchBytes: 1 << 40,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	if err := c.Serve(context.Background(), store); err != nil {
		t.Fatal(err)
	}
	return &house{Factory: New(nil, options), store: store, cache: c, decoded: map[string]int{}}
}

// resolve is a Resolver over the cache that the house's store feeds.
func (h *house) resolve(kind schema.GroupVersionKind) (Resource, error) {
	known, found := prefixes[kind.Kind]
	if !found {
		return Resource{}, fmt.Errorf("%s is not served", kind)
	}
	collection := h.cache.Attach(cache.Resource{
		Prefix: known.prefix,
		Decode: func(key string, value []byte, revision int64) (runtime.Object, error) {
			return h.decode(known.empty(), key, value, revision)
		},
		Attributes: func(runtime.Object) (labels.Set, fields.Set, error) { return nil, nil, nil },
	})
	return Resource{
		GroupResource: known.resource, Namespaced: known.spread, Collection: collection, Prefix: known.prefix,
		Decode: (*cache.Entry).Object,
	}, nil
}

func (h *house) decode(object message, key string, value []byte, revision int64) (runtime.Object, error) {
	h.mu.Lock()
	h.decoded[key]++
	h.mu.Unlock()
	if bytes.Equal(value, broken) {
		return nil, errors.New("not an object")
	}
	if err := object.Unmarshal(value); err != nil {
		return nil, err
	}
	return object, apistorage.APIObjectVersioner{}.UpdateObject(object, uint64(revision))
}

// decodings is how often anything was decoded.
func (h *house) decodings() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, times := range h.decoded {
		n += times
	}
	return n
}

func keyFor(kind string, object metav1.Object) string {
	known := prefixes[kind]
	if known.spread {
		return known.prefix + object.GetNamespace() + "/" + object.GetName()
	}
	return known.prefix + object.GetName()
}

// put writes an object whatever is there, and returns the revision. It may be called from any goroutine.
func (h *house) put(t testing.TB, kind string, object message) int64 {
	t.Helper()
	value, err := object.Marshal()
	if err != nil {
		t.Error(err)
	}
	return h.apply(t, storage.Write{Key: keyFor(kind, object), Value: value, Expected: storage.AnyRevision})
}

func (h *house) apply(t testing.TB, w storage.Write) int64 {
	t.Helper()
	_, revision, err := h.store.Apply(context.Background(), w)
	if err != nil {
		t.Errorf("write: %v", err)
	}
	return revision
}

func (h *house) putPod(t testing.TB, name, state string) int64 {
	t.Helper()
	return h.put(t, "Pod", newPod(name, state))
}

func (h *house) removePod(t testing.TB, name string) int64 {
	t.Helper()
	return h.apply(t, storage.Write{Key: keyFor("Pod", newPod(name, "")), Delete: true, Expected: storage.AnyRevision})
}

func (h *house) breakPod(t testing.TB, name string) int64 {
	t.Helper()
	return h.apply(t, storage.Write{Key: keyFor("Pod", newPod(name, "")), Value: broken, Expected: storage.AnyRevision})
}

// compact makes the store forget everything before the present.
func (h *house) compact(t testing.TB) {
	t.Helper()
	revision, err := h.store.Revision(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Compact(context.Background(), revision); err != nil {
		t.Fatal(err)
	}
}

// newPod is a pod in namespace ns whose state can be told by its phase.
func newPod(name, state string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Status:     corev1.PodStatus{Phase: corev1.PodPhase(state)},
	}
}

// start runs what has been asked of the factory until the test ends.
func (h *house) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h.StartWithContext(ctx)
	t.Cleanup(func() {
		cancel()
		h.Shutdown()
	})
}

// until waits for a channel to close.
func until(t testing.TB, what string, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(waiting):
		t.Fatalf("waited in vain for %s", what)
	}
}

// diary is a handler that writes down what it is told, in sentences such as "add a@3 running".
type diary struct {
	mu      sync.Mutex // guards all below
	entries []string
	written chan struct{} // closed and made anew with every entry
	// gate, if there is one, is what the handler waits for at every entry.
	gate <-chan struct{}
}

func newDiary(gate <-chan struct{}) *diary { return &diary{written: make(chan struct{}), gate: gate} }

func (d *diary) write(entry string) {
	d.mu.Lock()
	d.entries = append(d.entries, entry)
	close(d.written)
	d.written = make(chan struct{})
	d.mu.Unlock()
	if d.gate != nil {
		<-d.gate
	}
}

func (d *diary) OnAdd(object any, initial bool) {
	verb := "add"
	if initial {
		verb = "begin with"
	}
	d.write(verb + " " + told(object))
}

func (d *diary) OnUpdate(old, object any) { d.write("update " + told(old) + " to " + told(object)) }

func (d *diary) OnDelete(object any) { d.write("delete " + told(object)) }

func told(object any) string {
	switch o := object.(type) {
	case *corev1.Pod:
		return fmt.Sprintf("%s@%s %s", o.Name, o.ResourceVersion, o.Status.Phase)
	case clientcache.DeletedFinalStateUnknown:
		return fmt.Sprintf("%s, last seen as %s", o.Key, told(o.Obj))
	default:
		return fmt.Sprint(object)
	}
}

// await returns the entries once there are n.
func (d *diary) await(t testing.TB, n int) []string {
	t.Helper()
	timeout := time.After(waiting)
	for {
		d.mu.Lock()
		entries, written := append([]string(nil), d.entries...), d.written
		d.mu.Unlock()
		if len(entries) >= n {
			return entries
		}
		select {
		case <-written:
		case <-timeout:
			t.Fatalf("waited in vain for %d entries; there are:\n%q", n, entries)
		}
	}
}
