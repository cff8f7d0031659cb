package engine

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"gatehouse/engine/pluginapi/v1alpha1"
)

// put copies a guest of the plugins' tests into a plugin folder.
func put(t *testing.T, dir, guest, name, yaml string) {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("..", "plugins", "testdata", guest+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{name + ".yaml": []byte(yaml), name + ".wasm": module} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// seen delivers what an informer tells, as "verb name state".
func seen(t *testing.T, client dynamic.Interface) <-chan string {
	t.Helper()
	told := make(chan string, 100)
	tell := func(verb string, object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		plugin := object.(*unstructured.Unstructured)
		state, _, _ := unstructured.NestedString(plugin.Object, "status", "state")
		told <- fmt.Sprint(verb, " ", plugin.GetName(), " ", state)
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	informer := factory.ForResource(v1alpha1.SchemeGroupVersion.WithResource("plugins")).Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { tell("added", object) },
		UpdateFunc: func(_, object any) { tell("updated", object) },
		DeleteFunc: func(object any) { tell("deleted", object) },
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("the informer does not sync")
	}
	return told
}

// await waits until something has been told; what is told before does not matter.
func await(t *testing.T, told <-chan string, wanted ...string) {
	t.Helper()
	var all []string
	for {
		select {
		case one := <-told:
			for _, want := range wanted {
				if one == want {
					return
				}
			}
			all = append(all, one)
		case <-time.After(time.Minute):
			t.Fatalf("waited for %q, told was %q", wanted, all)
		}
	}
}

func TestInformersFollowPlugins(t *testing.T) {
	config := testConfig(t, t.TempDir())
	put(t, config.Plugins.Dir, "allow", "first", "roles: [admit]")
	server := serve(t, config)
	client, err := dynamic.NewForConfig(server.parts.loopback.Config())
	if err != nil {
		t.Fatal(err)
	}
	told := seen(t, client)
	await(t, told, "added first Serving")
	put(t, config.Plugins.Dir, "allow", "second", "roles: [admit]")
	await(t, told, "added second Serving", "updated second Serving")
	put(t, config.Plugins.Dir, "allow", "second", "roles: [admitt]")
	await(t, told, "updated second Stale")
	if err := os.Remove(filepath.Join(config.Plugins.Dir, "second.wasm")); err != nil {
		t.Fatal(err)
	}
	await(t, told, "deleted second Stale")
}

func TestPluginsAreListedAndWatchedByResourceVersion(t *testing.T) {
	config := testConfig(t, t.TempDir())
	put(t, config.Plugins.Dir, "allow", "first", "roles: [admit]")
	server := serve(t, config)
	client, err := dynamic.NewForConfig(server.parts.loopback.Config())
	if err != nil {
		t.Fatal(err)
	}
	plugins := client.Resource(v1alpha1.SchemeGroupVersion.WithResource("plugins"))
	list := func(options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
		return plugins.List(t.Context(), options)
	}
	first, err := list(metav1.ListOptions{})
	if err != nil || len(first.Items) != 1 {
		t.Fatalf("listed are %v, %v", first, err)
	}
	again, err := list(metav1.ListOptions{ResourceVersion: first.GetResourceVersion(), ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if err != nil || again.GetResourceVersion() != first.GetResourceVersion() || len(again.Items) != 1 {
		t.Errorf("listed at the same revision are %v, %v", again, err)
	}

	t.Run("a watch goes on where a list ended", func(t *testing.T) {
		w, err := plugins.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.GetResourceVersion()})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		put(t, config.Plugins.Dir, "allow", "second", "roles: [admit]")
		event := <-w.ResultChan()
		if added := event.Object.(*unstructured.Unstructured); event.Type != watch.Added || added.GetName() != "second" ||
			added.GetResourceVersion() <= first.GetResourceVersion() {
			t.Errorf("the first event is %v", event)
		}
	})
	t.Run("a watch that begins with all there is says when that has been", func(t *testing.T) {
		yes := true
		w, err := plugins.Watch(t.Context(), metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true,
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		for range 2 {
			if event := <-w.ResultChan(); event.Type != watch.Added {
				t.Errorf("got %v before the bookmark", event)
			}
		}
		event := <-w.ResultChan()
		for event.Type == watch.Modified { // it is still being loaded
			event = <-w.ResultChan()
		}
		if event.Type != watch.Bookmark || event.Object.(*unstructured.Unstructured).GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
			t.Errorf("got %v, want the bookmark", event)
		}
	})
	t.Run("a watch selects by name", func(t *testing.T) {
		w, err := plugins.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=second"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if event := <-w.ResultChan(); event.Object.(*unstructured.Unstructured).GetName() != "second" {
			t.Errorf("got %v", event)
		}
	})
	t.Run("a watch ends when its time is up, with a bookmark before", func(t *testing.T) {
		three := int64(3)
		w, err := plugins.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=none", AllowWatchBookmarks: true,
			ResourceVersion: first.GetResourceVersion(), TimeoutSeconds: &three})
		if err != nil {
			t.Fatal(err)
		}
		event, ok := <-w.ResultChan()
		if !ok || event.Type != watch.Bookmark {
			t.Errorf("got %v, want a bookmark", event)
		}
		if event, ok := <-w.ResultChan(); ok {
			t.Errorf("got %v, want the end", event)
		}
	})
	for name, test := range map[string]struct {
		options metav1.ListOptions
		is      func(error) bool
	}{
		"a revision that has not been is not waited for": {metav1.ListOptions{ResourceVersion: "99999999999999999"}, apierrors.IsTimeout},
		"a revision that is no number":                   {metav1.ListOptions{ResourceVersion: "new"}, apierrors.IsBadRequest},
		"a field that there is not":                      {metav1.ListOptions{FieldSelector: "spec.description=a"}, apierrors.IsBadRequest},
		"a revision that is forgotten": {metav1.ListOptions{ResourceVersion: "1", ResourceVersionMatch: metav1.ResourceVersionMatchExact},
			apierrors.IsResourceExpired},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := list(test.options); !test.is(err) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	t.Run("a watch from a forgotten revision ends with Expired", func(t *testing.T) {
		w, err := plugins.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if event := <-w.ResultChan(); event.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(event.Object)) {
			t.Errorf("got %v", event)
		}
	})
	t.Run("metadata alone is had by its client", func(t *testing.T) {
		metadatas, err := metadata.NewForConfig(metadata.ConfigFor(server.parts.loopback.Config()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := metadatas.Resource(v1alpha1.SchemeGroupVersion.WithResource("plugins")).Get(t.Context(), "first", metav1.GetOptions{})
		if err != nil || got.Name != "first" || got.UID == "" {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("of objects there is no protobuf", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			server.parts.loopback.Config().Host+"/apis/plugins.gatehouse.dev/v1alpha1/plugins", nil)
		if err != nil {
			t.Fatal(err)
		}
		for accept, want := range map[string]int{
			"application/vnd.kubernetes.protobuf":                   http.StatusNotAcceptable,
			"application/vnd.kubernetes.protobuf, application/json": http.StatusOK,
			"application/yaml": http.StatusOK,
		} {
			request.Header.Set("Accept", accept)
			response, err := (&http.Client{Transport: server.parts.loopback}).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if err := response.Body.Close(); err != nil || response.StatusCode != want {
				t.Errorf("%s is answered with %d, want %d", accept, response.StatusCode, want)
			}
		}
	})
}
