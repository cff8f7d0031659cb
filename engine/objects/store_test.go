package objects_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"gatehouse/engine/objects"
	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
)

func list(revision string, limit int64, token string) apistorage.ListOptions {
	options := apistorage.ListOptions{ResourceVersion: revision, Recursive: true, Predicate: apistorage.Everything}
	options.Predicate.Limit, options.Predicate.Continue = limit, token
	return options
}

func exact(revision string) apistorage.ListOptions {
	options := list(revision, 0, "")
	options.ResourceVersionMatch = metav1.ResourceVersionMatchExact
	return options
}

func names(pods *example.PodList) []string {
	var names []string
	for i := range pods.Items {
		names = append(names, pods.Items[i].Name)
	}
	return names
}

func TestNewRefusesAnIncompleteConfiguration(t *testing.T) {
	database := openDatabase(t, sqlite.Options{})
	newPod := func() runtime.Object { return &example.Pod{} }
	complete := objects.Config{Backend: database, Codec: testCodec(), ResourcePrefix: "/pods", NewObject: newPod}
	if _, err := objects.New(complete); err != nil {
		t.Fatalf("a complete configuration: %v", err)
	}
	for name, spoil := range map[string]func(*objects.Config){
		"no backend":                      func(c *objects.Config) { c.Backend = nil },
		"no codec":                        func(c *objects.Config) { c.Codec = nil },
		"no constructor":                  func(c *objects.Config) { c.NewObject = nil },
		"no resource prefix":              func(c *objects.Config) { c.ResourcePrefix = "" },
		"a resource prefix for all":       func(c *objects.Config) { c.ResourcePrefix = "/" },
		"a resource prefix without slash": func(c *objects.Config) { c.ResourcePrefix = "pods" },
	} {
		t.Run(name, func(t *testing.T) {
			spoilt := complete
			spoil(&spoilt)
			if _, err := objects.New(spoilt); err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

func TestConcurrentUpdatesAreAllApplied(t *testing.T) {
	h, ctx := open(t), context.Background()
	h.create(t, pod("counter"))
	const workers, rounds = 16, 25
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			suggestion := &example.Pod{} // mostly outdated, and never a hindrance
			for range rounds {
				out := &example.Pod{}
				err := h.GuaranteedUpdate(ctx, "/pods/ns/counter", out, false, nil,
					apistorage.SimpleUpdate(func(o runtime.Object) (runtime.Object, error) {
						p := o.(*example.Pod).DeepCopy()
						p.Generation++
						return p, nil
					}), suggestion)
				if err != nil {
					t.Errorf("update: %v", err)
					return
				}
				suggestion = out
			}
		})
	}
	wait.Wait()
	counter := &example.Pod{}
	if err := h.Get(ctx, "/pods/ns/counter", apistorage.GetOptions{}, counter); err != nil {
		t.Fatal(err)
	}
	if counter.Generation != workers*rounds {
		t.Errorf("%d updates left the counter at %d", workers*rounds, counter.Generation)
	}
}

func TestListOfThePast(t *testing.T) {
	h, ctx := open(t), context.Background()
	first := h.create(t, pod("a"))
	second := h.create(t, pod("b"))
	third := h.create(t, pod("c"))

	pods := &example.PodList{}
	if err := h.GetList(ctx, "/pods", list("", 1, ""), pods); err != nil {
		t.Fatal(err)
	}
	token := pods.Continue
	if pods.ResourceVersion != third.ResourceVersion || pods.RemainingItemCount == nil || *pods.RemainingItemCount != 2 {
		t.Errorf("first page has metadata %+v", pods.ListMeta)
	}
	h.create(t, pod("d"))
	pods = &example.PodList{}
	if err := h.GetList(ctx, "/pods", exact(second.ResourceVersion), pods); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, names(pods)); diff != "" {
		t.Errorf("list at the second revision (-want +got):\n%s", diff)
	}

	future := fmt.Sprint(h.touch(ctx, t) + 1)
	if err := h.GetList(ctx, "/pods", exact(future), pods); !apistorage.IsTooLargeResourceVersion(err) {
		t.Errorf("list of the future: %v", err)
	}

	h.compact(ctx, t, future)
	err := h.GetList(ctx, "/pods", exact(first.ResourceVersion), pods)
	checkExpired(t, err, "The resourceVersion for the provided list is too old.")

	err = h.GetList(ctx, "/pods", list("", 1, token), pods)
	status := checkExpired(t, err, "The provided continue parameter is too old to display a consistent list result. "+
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve "+
		"the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that "+
		"were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
	pods = &example.PodList{}
	if err := h.GetList(ctx, "/pods", list("", 0, status.ListMeta.Continue), pods); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "c", "d"}, names(pods)); diff != "" {
		t.Errorf("the rest, inconsistently (-want +got):\n%s", diff)
	}
}

func TestPagesOfOneListShowOneRevision(t *testing.T) {
	h := open(t)
	for _, name := range []string{"a", "b", "c"} {
		h.create(t, pod(name))
	}
	options := list("", 2, "")
	options.Predicate.Field = fields.ParseSelectorOrDie("metadata.name!=a,metadata.name!=b")
	options.Predicate.GetAttrs = func(o runtime.Object) (labels.Set, fields.Set, error) {
		name := o.(*example.Pod).Name
		if name == "a" { // in the middle of the first page, so that the second is read later
			h.create(t, pod("d"))
		}
		return nil, fields.Set{"metadata.name": name}, nil
	}
	pods := &example.PodList{}
	if err := h.GetList(context.Background(), "/pods", options, pods); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c"}, names(pods)); diff != "" {
		t.Errorf("list with a write in its midst (-want +got):\n%s", diff)
	}
}

func checkExpired(t *testing.T, err error, message string) metav1.Status {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatalf("got error %v, want a status", err)
	}
	got := status.Status()
	if got.Code != http.StatusGone || got.Reason != metav1.StatusReasonExpired || got.Message != message {
		t.Errorf("got status %d %s %q, want 410 Expired %q", got.Code, got.Reason, got.Message, message)
	}
	return got
}

// TestSelectedObjectsKeepNothingOfTheOthers uses a codec that adds to the object it decodes into, as those of some custom
// kinds do, where the conversions of built-in kinds overwrite all of it.
func TestSelectedObjectsKeepNothingOfTheOthers(t *testing.T) {
	ctx := context.Background()
	scheme := runtime.NewScheme()
	utilruntime.Must(examplev1.AddToScheme(scheme))
	h := open(t, func(c *objects.Config) {
		c.Codec = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{})
	})
	for i := range 9 {
		p := &examplev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod-" + strconv.Itoa(i)}}
		p.SetGroupVersionKind(examplev1.SchemeGroupVersion.WithKind("Pod"))
		if i%3 != 2 {
			p.Annotations = map[string]string{"other": "yes"}
			p.Spec.Hostname = "elsewhere"
		}
		if err := h.Create(ctx, "/pods/ns/"+p.Name, p, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	options := list("", 0, "")
	options.Predicate.Field = fields.ParseSelectorOrDie("metadata.name!=pod-1,metadata.name!=pod-4,metadata.name!=pod-7")
	options.Predicate.GetAttrs = func(o runtime.Object) (labels.Set, fields.Set, error) {
		return nil, fields.Set{"metadata.name": o.(*examplev1.Pod).Name}, nil
	}
	pods := &examplev1.PodList{}
	if err := h.GetList(ctx, "/pods", options, pods); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 6 {
		t.Fatalf("%d pods are selected, want 6", len(pods.Items))
	}
	for i := 1; i < len(pods.Items); i += 2 {
		if p := pods.Items[i]; len(p.Annotations) != 0 || p.Spec.Hostname != "" {
			t.Errorf("pod %s has annotations %v and host name %q of another", p.Name, p.Annotations, p.Spec.Hostname)
		}
	}
}

func TestUnstructuredObjects(t *testing.T) {
	ctx := context.Background()
	h := open(t, func(c *objects.Config) {
		c.Codec = unstructured.UnstructuredJSONScheme
		c.NewObject = func() runtime.Object { return &unstructured.Unstructured{} }
	})
	widget := func(size int64) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.com/v1", "kind": "Widget",
			"metadata": map[string]any{"name": "one", "namespace": "ns"},
			"size":     size,
		}}
	}
	created := &unstructured.Unstructured{}
	if err := h.Create(ctx, "/pods/ns/one", widget(1), created, 0); err != nil {
		t.Fatal(err)
	}
	updated := &unstructured.Unstructured{}
	err := h.GuaranteedUpdate(ctx, "/pods/ns/one", updated, false, nil,
		apistorage.SimpleUpdate(func(runtime.Object) (runtime.Object, error) { return widget(2), nil }), created)
	if err != nil {
		t.Fatal(err)
	}
	widgets := &unstructured.UnstructuredList{}
	widgets.SetAPIVersion("example.com/v1")
	if err := h.GetList(ctx, "/pods", list("", 0, ""), widgets); err != nil {
		t.Fatal(err)
	}
	want := widget(2)
	want.SetResourceVersion(updated.GetResourceVersion())
	if diff := cmp.Diff([]unstructured.Unstructured{*want}, widgets.Items); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	deleted := &unstructured.Unstructured{}
	err = h.Delete(ctx, "/pods/ns/one", deleted, nil, apistorage.ValidateAllObjectFunc, nil, apistorage.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if deleted.Object["size"] != int64(2) || deleted.GetResourceVersion() <= updated.GetResourceVersion() {
		t.Errorf("deleted %v", deleted.Object)
	}
}

func TestTheLongestTimeToLiveIsNotOver(t *testing.T) {
	h, ctx := open(t), context.Background()
	if err := h.Create(ctx, "/pods/ns/first", pod("first"), nil, math.MaxUint64); err != nil {
		t.Fatal(err)
	}
	result, err := h.backend.Range(ctx, storage.RangeRequest{Start: "/pods/ns/first", End: "/pods/ns/first\x00"})
	if err != nil || len(result.Items) != 1 {
		t.Fatalf("read it: %d items, error %v", len(result.Items), err)
	}
	if year := result.Items[0].Expires.Year(); year < 2200 {
		t.Errorf("it expires in the year %d", year)
	}
}

func TestADeletionWithAWorthlessSuggestionLooksForItself(t *testing.T) {
	h, ctx := open(t), context.Background()
	h.create(t, pod("first"))
	del := func() error {
		return h.Delete(ctx, "/pods/ns/first", &example.Pod{}, nil, apistorage.ValidateAllObjectFunc, pod("first"),
			apistorage.DeleteOptions{})
	}
	if err := del(); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := del(); !apistorage.IsNotFound(err) {
		t.Errorf("delete again: %v", err)
	}
}

func decorated(t *testing.T, database storage.Store) apistorage.Interface {
	t.Helper()
	config := storagebackend.NewDefaultConfig("/registry", testCodec()).ForResource(schema.GroupResource{Resource: "pods"})
	newPod := func() runtime.Object { return &example.Pod{} }
	newPods := func() runtime.Object { return &example.PodList{} }
	store, destroy, err := objects.Decorator(database)(config, "/pods", nil, newPod, newPods, nil, nil, nil)
	if err != nil {
		t.Fatalf("decorate: %v", err)
	}
	t.Cleanup(destroy)
	return store
}

// goroutinesOfObjects counts the goroutines that were started by the package under test.
func goroutinesOfObjects(t *testing.T) int {
	t.Helper()
	var stacks strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		t.Fatal(err)
	}
	return strings.Count(stacks.String(), "created by gatehouse/engine/objects.")
}

func TestDecorator(t *testing.T) {
	ctx := context.Background()

	t.Run("puts objects under the configured prefix", func(t *testing.T) {
		database := openDatabase(t, sqlite.Options{})
		store := decorated(t, database)
		if err := store.Create(ctx, "/pods/ns/first", pod("first"), nil, 0); err != nil {
			t.Fatal(err)
		}
		result, err := database.Range(ctx, storage.RangeRequest{})
		if err != nil || len(result.Items) != 1 || result.Items[0].Key != "/registry/pods/ns/first" {
			t.Errorf("the database holds %v, error %v", result.Items, err)
		}
		stats, err := store.Stats(ctx)
		want := apistorage.Stats{ObjectCount: 1, EstimatedAverageObjectSizeBytes: int64(len(result.Items[0].Value))}
		if err != nil || stats != want {
			t.Errorf("stats are %+v, error %v, want %+v", stats, err, want)
		}
	})

	t.Run("starts nothing for a resource", func(t *testing.T) {
		database := openDatabase(t, sqlite.Options{})
		before := goroutinesOfObjects(t)
		for range 117 {
			decorated(t, database)
		}
		if after := goroutinesOfObjects(t); after > before {
			t.Errorf("%d goroutines of the package became %d", before, after)
		}
	})

	t.Run("makes unreadable objects known, so that they can be deleted", func(t *testing.T) {
		database := openDatabase(t, sqlite.Options{})
		store := decorated(t, database)
		for _, w := range []storage.Write{
			{Key: "/registry/pods/ns/garbage", Value: []byte("garbage")},
			{Key: "/registry/pods/ns/sealed", Value: []byte("k8s:enc:aescbc:v1:key:sealed")},
		} {
			if _, _, err := database.Apply(ctx, w); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Create(ctx, "/pods/ns/sound", pod("sound"), nil, 0); err != nil {
			t.Fatal(err)
		}
		err := store.Get(ctx, "/pods/ns/garbage", apistorage.GetOptions{}, &example.Pod{})
		if !apistorage.IsCorruptObject(err) {
			t.Errorf("get garbage: %v", err)
		}
		var status apierrors.APIStatus
		if err := store.GetList(ctx, "/pods", list("", 0, ""), &example.PodList{}); !errors.As(err, &status) {
			t.Fatalf("list: %v", err)
		}
		var keys []string
		for _, cause := range status.Status().Details.Causes {
			keys = append(keys, cause.Field)
		}
		want := []string{"/registry/pods/ns/garbage", "/registry/pods/ns/sealed"}
		if diff := cmp.Diff(want, keys); diff != "" || status.Status().Reason != metav1.StatusReasonStoreReadError {
			t.Errorf("list says %+v; unreadable keys (-want +got):\n%s", status.Status(), diff)
		}
		for _, key := range []string{"/pods/ns/garbage", "/pods/ns/sealed"} {
			err := store.Delete(ctx, key, &example.Pod{}, nil, apistorage.ValidateAllObjectFunc, nil,
				apistorage.DeleteOptions{ExpectTransformOrDecodeError: true})
			if err != nil {
				t.Errorf("delete %s unread: %v", key, err)
			}
		}
		pods := &example.PodList{}
		if err := store.GetList(ctx, "/pods", list("", 0, ""), pods); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"sound"}, names(pods)); diff != "" {
			t.Errorf("what is left (-want +got):\n%s", diff)
		}
	})
}
