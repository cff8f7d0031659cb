package read

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/kubernetes/scheme"
	testclock "k8s.io/utils/clock/testing"

	"gatehouse/engine/objects/cache"
	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

// harness is a Reader of config maps over a real store, with a clock that the test moves. Upstream's handler answers 418.
type harness struct {
	t       *testing.T
	store   *sqlite.Store
	cache   *cache.Cache
	codec   runtime.Codec
	clock   *testclock.FakeClock
	counts  *Counts
	reader  *Reader
	handler http.Handler
}

func newHarness(t *testing.T, options cache.Options) *harness {
	t.Helper()
	serializer := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	h := &harness{
		t: t, counts: &Counts{}, clock: testclock.NewFakeClock(time.Unix(1_800_000_000, 0)),
		codec: scheme.Codecs.CodecForVersions(serializer, serializer, corev1.SchemeGroupVersion, corev1.SchemeGroupVersion),
	}
	kept := cache.New(options)
	h.cache = kept
	t.Cleanup(kept.Close)
	var err error
	h.store, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Observers: []storage.Observer{kept.Observe}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := kept.Serve(t.Context(), h.store); err != nil {
		t.Fatal(err)
	}
	resource := h.resource()
	h.reader, err = New(Config{
		Scope: &handlers.RequestScope{
			Serializer: scheme.Codecs, ParameterCodec: scheme.ParameterCodec, Convertor: scheme.Scheme,
			Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Kind: corev1.SchemeGroupVersion.WithKind("ConfigMap"),
			MetaGroupVersion: metav1.SchemeGroupVersion,
		},
		Resource: resource, Collection: NewCollection(kept, resource),
		MinWatchTimeout: 10 * time.Minute, Counts: h.counts, Clock: h.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.handler = h.withInfo(h.reader.List(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, false))
	return h
}

func (h *harness) resource() Resource {
	return Resource{
		Prefix: "/registry/configmaps", Namespaced: true, Codec: h.codec, Attributes: apistorage.DefaultNamespaceScopedAttr,
		NewObject: func() runtime.Object { return &corev1.ConfigMap{} },
		NewList:   func() runtime.Object { return &corev1.ConfigMapList{} },
		Decode: func(_ string, stored []byte, revision int64) (runtime.Object, error) {
			object, err := runtime.Decode(h.codec, stored)
			if err != nil {
				return nil, err
			}
			return object, versioner.UpdateObject(object, uint64(revision))
		},
	}
}

func (h *harness) withInfo(next http.Handler) http.Handler {
	paths := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, err := paths.NewRequestInfo(req)
		if err != nil {
			h.t.Error(err)
			return
		}
		next.ServeHTTP(w, req.WithContext(request.WithRequestInfo(req.Context(), info)))
	})
}

// write stores a config map and returns the revision.
func (h *harness) write(name, value string) int64 {
	h.t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "n"}, Data: map[string]string{"v": value}}
	stored, err := runtime.Encode(h.codec, object)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.writeBytes(name, stored)
}

func (h *harness) writeBytes(name string, stored []byte) int64 {
	h.t.Helper()
	_, revision, err := h.store.Apply(h.t.Context(),
		storage.Write{Key: "/registry/configmaps/n/" + name, Value: stored, Expected: storage.AnyRevision})
	if err != nil {
		h.t.Fatal(err)
	}
	return revision
}

// remove deletes a config map and returns the revision.
func (h *harness) remove(name string) int64 {
	h.t.Helper()
	_, revision, err := h.store.Apply(h.t.Context(),
		storage.Write{Key: "/registry/configmaps/n/" + name, Delete: true, Expected: storage.AnyRevision})
	if err != nil {
		h.t.Fatal(err)
	}
	return revision
}

// get asks for a list or an object that ends by itself.
func (h *harness) get(query string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	h.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, "/api/v1/configmaps"+query, nil))
	return recorder
}

// object asks for one object.
func (h *harness) object(name string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler := h.withInfo(h.reader.Get(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, "/api/v1/namespaces/n/configmaps/"+name, nil))
	return recorder
}

// watching is a watch under way, whose client takes what is written only when it may.
type watching struct {
	header http.Header
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex // guards all below
	changed *sync.Cond
	held    bool // writes wait
	waiting bool // one does
	lines   []string
}

// watch starts a watch on the test's own ResponseWriter.
func (h *harness) watch(query string) *watching {
	h.t.Helper()
	return h.watchWith(h.t.Context(), query, nil)
}

func (h *harness) watchWith(ctx context.Context, query string, header http.Header) *watching {
	h.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	w := &watching{header: http.Header{}, cancel: cancel, ended: make(chan struct{})}
	w.changed = sync.NewCond(&w.mu)
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/configmaps?watch=true&"+query, nil)
	maps.Copy(req.Header, header)
	go func() {
		defer close(w.ended)
		h.handler.ServeHTTP(w, req)
	}()
	h.t.Cleanup(func() {
		w.hold(false)
		cancel()
		<-w.ended
	})
	return w
}

func (w *watching) Header() http.Header { return w.header }
func (w *watching) WriteHeader(int)     {}
func (w *watching) Flush()              {}

func (w *watching) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.waiting = w.held; w.held; {
		w.changed.Broadcast()
		w.changed.Wait()
	}
	w.waiting = false
	for line := range bytes.Lines(p) {
		w.lines = append(w.lines, string(bytes.TrimSuffix(line, []byte("\n"))))
	}
	w.changed.Broadcast()
	return len(p), nil
}

// hold makes writes wait, or lets them go on.
func (w *watching) hold(held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = held
	w.changed.Broadcast()
}

// untilWaiting returns when a write waits.
func (w *watching) untilWaiting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.waiting {
		w.changed.Wait()
	}
}

// next waits for that many more lines.
func (w *watching) next(count int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.lines) < count {
		w.changed.Wait()
	}
	lines := w.lines[:count]
	w.lines = w.lines[count:]
	return lines
}

// rest waits for the end and returns what is left.
func (w *watching) rest() []string {
	<-w.ended
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines
}

func event(kind, name, value string, revision int64) string {
	return fmt.Sprintf(`{"type":"%s","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"%s","namespace":"n","resourceVersion":"%d"},`+
		`"data":{"v":"%s"}}}`, kind, name, revision, value)
}

func bookmark(revision int64) string {
	return fmt.Sprintf(`{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"%d"}}}`, revision)
}
