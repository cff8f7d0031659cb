package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"gatehouse/tests/harness"
)

// TestWatchesResume begins again where it left off, over each kind of beginning.
func TestWatchesResume(t *testing.T) {
	client := typed(t, harness.Start(t, harness.Options{Flags: undisturbed()}).ClientConfig())
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	var versions []string
	for i := range 4 {
		versions = append(versions, createMap(t, maps, fmt.Sprintf("m%d", i)).ResourceVersion)
	}
	if err := maps.Delete(t.Context(), "m1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	yes := true
	for _, test := range []struct {
		name    string
		options metav1.ListOptions
		want    []string
	}{
		{"from a version come the changes after it", metav1.ListOptions{ResourceVersion: versions[1]},
			[]string{"ADDED m2", "ADDED m3", "DELETED m1", "ADDED last"}},
		{"from zero comes what is there", metav1.ListOptions{ResourceVersion: "0"},
			[]string{"ADDED m0", "ADDED m2", "ADDED m3", "ADDED last"}},
		{"from nothing comes what is there", metav1.ListOptions{},
			[]string{"ADDED m0", "ADDED m2", "ADDED m3", "ADDED last"}},
		{"by a field come its changes", metav1.ListOptions{ResourceVersion: versions[0], FieldSelector: "metadata.name=m1"},
			[]string{"ADDED m1", "DELETED m1"}},
		{"with initial events a bookmark ends them", metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true,
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan},
			[]string{"ADDED m0", "ADDED m2", "ADDED m3", "BOOKMARK k8s.io/initial-events-end", "ADDED last"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			events, err := maps.Watch(t.Context(), test.options)
			if err != nil {
				t.Fatal(err)
			}
			defer events.Stop()
			writeLast := func() {
				createMap(t, maps, "last")
				if err := maps.Delete(t.Context(), "last", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			for i, want := range test.want {
				if i == len(test.want)-1 && strings.HasSuffix(want, "last") {
					writeLast()
				}
				if got := describeEvent(next(t, events)); got != want {
					t.Fatalf("event %d is %q, want %q", i, got, want)
				}
			}
		})
	}
}

// describeEvent is an event's type and name, or what a bookmark marks.
func describeEvent(event watch.Event) string {
	object, ok := event.Object.(metav1.Object)
	if !ok {
		return fmt.Sprintf("%s %v", event.Type, event.Object)
	}
	what := object.GetName()
	for annotation := range object.GetAnnotations() {
		what += annotation
	}
	return fmt.Sprintf("%s %s", event.Type, what)
}

func createMap(t *testing.T, maps corev1client.ConfigMapInterface, name string) *corev1.ConfigMap {
	t.Helper()
	created, err := maps.Create(t.Context(), configMap(name, nil), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// TestTheBookmarkIsNotBehind writes elsewhere while a watch sees nothing: a bookmark lets it resume after all that.
func TestTheBookmarkIsNotBehind(t *testing.T) {
	t.Parallel()
	client := typed(t, harness.Start(t, harness.Options{Flags: undisturbed()}).ClientConfig())
	begin := createMap(t, client.CoreV1().ConfigMaps(metav1.NamespaceDefault), "begin").ResourceVersion
	elsewhere := createMap(t, client.CoreV1().ConfigMaps(metav1.NamespaceSystem), "elsewhere").ResourceVersion
	seconds := int64(3) // a watch that ends is bookmarked two seconds before
	events, err := client.CoreV1().Secrets(metav1.NamespaceDefault).Watch(t.Context(), metav1.ListOptions{
		ResourceVersion: begin, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	event := next(t, events)
	secret, ok := event.Object.(*corev1.Secret)
	if !ok || event.Type != watch.Bookmark {
		t.Fatalf("got %s %v, want a bookmark", event.Type, event.Object)
	}
	if revision(t, secret) < revisionOf(t, elsewhere) {
		t.Errorf("the bookmark is at %s, want no less than %s", secret.ResourceVersion, elsewhere)
	}
}

// TestThePastIsForgotten asks for revisions that compaction has removed.
func TestThePastIsForgotten(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: append(undisturbed(), "--storage-compaction-retention=1s")})
	maps := typed(t, server.ClientConfig()).CoreV1().ConfigMaps(metav1.NamespaceDefault)
	for i := range 3 {
		createMap(t, maps, fmt.Sprintf("m%d", i))
	}
	page, err := maps.List(t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	later := createMap(t, maps, "m3").ResourceVersion
	// Compaction comes by itself, a while after the retention, and leaves the latest revision: there have to be others.
	eventually(t, func() error {
		patch := []byte(fmt.Sprintf(`{"data":{"now":%q}}`, time.Now()))
		if _, err := maps.Patch(t.Context(), "m0", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return harness.Hopeless(err)
		}
		_, err := maps.List(t.Context(), metav1.ListOptions{ResourceVersion: later, ResourceVersionMatch: metav1.ResourceVersionMatchExact})
		if !apierrors.IsResourceExpired(err) {
			return fmt.Errorf("a list at %s: got %v, want it expired", later, err)
		}
		return nil
	})
	server.Restart() // what it still has in memory it may serve
	t.Run("a watch from then is gone", func(t *testing.T) { wantExpired(t, maps, page.ResourceVersion) })
	t.Run("a continued list of then is gone, and says how to go on", func(t *testing.T) {
		_, err := maps.List(t.Context(), metav1.ListOptions{Limit: 1, Continue: page.Continue})
		var status apierrors.APIStatus
		if !apierrors.IsResourceExpired(err) || !errors.As(err, &status) {
			t.Fatalf("got %v, want it expired", err)
		}
		rest, err := maps.List(t.Context(), metav1.ListOptions{Limit: 10, Continue: status.Status().ListMeta.Continue})
		if err != nil {
			t.Fatal(err)
		}
		if got := names(rest.Items, configMapName); !slices.Equal(got, []string{"m1", "m2", "m3"}) {
			t.Errorf("going on gives %v, want what comes after the first page", got)
		}
	})
}

// wantExpired fails unless a watch from a version is refused, or ends, because that is forgotten.
func wantExpired(t *testing.T, maps corev1client.ConfigMapInterface, version string) {
	t.Helper()
	events, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: version})
	if err == nil {
		defer events.Stop()
		event := next(t, events)
		if event.Type != watch.Error {
			t.Fatalf("a watch from %s begins with %s, want it expired", version, event.Type)
		}
		err = apierrors.FromObject(event.Object)
	}
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("a watch from %s: got %v, want it expired", version, err)
	}
}
