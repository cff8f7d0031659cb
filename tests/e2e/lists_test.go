package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"gatehouse/tests/harness"
)

// TestListsInPages reads pages while others write: all of them are of one moment.
func TestListsInPages(t *testing.T) {
	const existing, page, writers = 100, 7, 4
	client := typed(t, harness.Start(t, harness.Options{Flags: undisturbed()}).ClientConfig())
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	var want []string
	for i := range existing {
		name := fmt.Sprintf("existing-%03d", i)
		want = append(want, name)
		if _, err := maps.Create(t.Context(), configMap(name, nil), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := maps.List(t.Context(), metav1.ListOptions{Limit: page})
	if err != nil {
		t.Fatal(err)
	}
	if remaining := first.RemainingItemCount; remaining == nil || *remaining != existing-page {
		t.Errorf("the first page says %v remain, want %d", remaining, existing-page)
	}
	stop := churn(t, client, writers, want)
	defer stop()

	got := names(first.Items, configMapName)
	for next := first.Continue; next != ""; {
		list, err := maps.List(t.Context(), metav1.ListOptions{Limit: page, Continue: next})
		if err != nil {
			t.Fatal(err)
		}
		if list.ResourceVersion != first.ResourceVersion {
			t.Fatalf("a page is of revision %s, the first of %s", list.ResourceVersion, first.ResourceVersion)
		}
		got = append(got, names(list.Items, configMapName)...)
		next = list.Continue
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages have %v, want %v", got, want)
	}
}

// churn has writers change, delete and add ConfigMaps until the returned function is called, which waits for them. It returns
// once each has written.
func churn(t *testing.T, client kubernetes.Interface, writers int, existing []string) (stop func()) {
	t.Helper()
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	done := make(chan struct{})
	var writing, begun sync.WaitGroup
	begun.Add(writers)
	for w := range writers {
		writing.Go(func() {
			for i := 0; ; i++ {
				var err error
				switch name := existing[(i*writers+w)%len(existing)]; i % 2 {
				case 0:
					if err = maps.Delete(t.Context(), name, metav1.DeleteOptions{}); apierrors.IsNotFound(err) {
						err = nil
					}
				default:
					_, err = maps.Create(t.Context(), configMap(fmt.Sprintf("existing-%d-%d", w, i), nil), metav1.CreateOptions{})
				}
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
				if i == 0 || err != nil && i == 1 {
					begun.Done()
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	begun.Wait()
	return func() { close(done); writing.Wait() }
}

// TestListsOfTheirMoment asks for lists at resource versions.
func TestListsOfTheirMoment(t *testing.T) {
	client := typed(t, harness.Start(t, harness.Options{Flags: undisturbed()}).ClientConfig())
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	var versions []string
	for i := range 5 {
		created, err := maps.Create(t.Context(), configMap(fmt.Sprintf("m%d", i), nil), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, created.ResourceVersion)
	}
	if err := maps.Delete(t.Context(), "m0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		options metav1.ListOptions
		want    []string
	}{
		{"now", metav1.ListOptions{}, []string{"m1", "m2", "m3", "m4"}},
		{"any that the server has at hand", metav1.ListOptions{ResourceVersion: "0"}, []string{"m1", "m2", "m3", "m4"}},
		{"exactly the third", metav1.ListOptions{ResourceVersion: versions[2], ResourceVersionMatch: metav1.ResourceVersionMatchExact},
			[]string{"m0", "m1", "m2"}},
		{"not older than the third", metav1.ListOptions{ResourceVersion: versions[2],
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}, []string{"m1", "m2", "m3", "m4"}},
		{"one by its name", metav1.ListOptions{FieldSelector: "metadata.name=m3"}, []string{"m3"}},
		{"all but one", metav1.ListOptions{FieldSelector: "metadata.name!=m3"}, []string{"m1", "m2", "m4"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			list, err := maps.List(t.Context(), test.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := names(list.Items, configMapName); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	t.Run("the exact moment is what the list says of itself", func(t *testing.T) {
		list, err := maps.List(t.Context(), metav1.ListOptions{ResourceVersion: versions[1],
			ResourceVersionMatch: metav1.ResourceVersionMatchExact})
		if err != nil {
			t.Fatal(err)
		}
		if list.ResourceVersion != versions[1] {
			t.Errorf("got the list at %s, want %s", list.ResourceVersion, versions[1])
		}
	})
}

// TestDeletingCollections deletes what selectors choose, and nothing else.
func TestDeletingCollections(t *testing.T) {
	client := typed(t, harness.Start(t, harness.Options{Flags: undisturbed()}).ClientConfig())
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	for i := range 10 {
		labels := map[string]string{"odd": fmt.Sprint(i%2 == 1)}
		if _, err := pods.Create(t.Context(), pod(fmt.Sprintf("p%d", i), labels), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	chosen := metav1.ListOptions{LabelSelector: "odd=true", FieldSelector: "metadata.name!=p9"}
	dry := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
	if err := pods.DeleteCollection(t.Context(), dry, chosen); err != nil {
		t.Fatal(err)
	}
	if list, err := pods.List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 10 {
		t.Fatalf("after a dry run: got %v, %v, want all ten", list, err)
	}
	if err := pods.DeleteCollection(t.Context(), metav1.DeleteOptions{}, chosen); err != nil {
		t.Fatal(err)
	}
	list, err := pods.List(t.Context(), metav1.ListOptions{LabelSelector: "odd=true"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].Name != "p9" {
		t.Errorf("of the odd ones are left %v, want p9", list.Items)
	}
	if list, err = pods.List(t.Context(), metav1.ListOptions{LabelSelector: "odd=false"}); err != nil || len(list.Items) != 5 {
		t.Errorf("got %v, %v, want the five even ones", list, err)
	}
}
