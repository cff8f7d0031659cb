package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"gatehouse/tests/harness"
)

// TestHammer has many write, watch and list at once, on a server that looks for data races. What each watcher has seen is, in
// the end, what is there.
func TestHammer(t *testing.T) {
	const writers, watchers, listers, writes, names = 12, 6, 3, 60, 40
	server := harness.Start(t, harness.Options{Variant: harness.Race, Patience: patience})
	config := server.ClientConfig()
	clients := []kubernetes.Interface{typed(t, config), typed(t, inProtobuf(config))}

	watching, stopWatching := context.WithCancel(t.Context())
	defer stopWatching()
	replicas := make([]*replica, watchers)
	var followers sync.WaitGroup
	for i := range replicas {
		replicas[i] = newReplica(t, clients[i%2].CoreV1().Pods(metav1.NamespaceDefault))
		followers.Go(func() { replicas[i].follow(watching, t) })
	}
	reading, stopReading := context.WithCancel(t.Context())
	defer stopReading()
	var readers sync.WaitGroup
	for i := range listers {
		readers.Go(func() { readOn(reading, t, clients[i%2]) })
	}
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for range writes {
				if err := write(t.Context(), clients[w%2].CoreV1().Pods(metav1.NamespaceDefault), random, names); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	writing.Wait()
	stopReading()
	readers.Wait()

	pods, err := clients[0].CoreV1().Pods(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, pod := range pods.Items {
		want[pod.Name] = pod.ResourceVersion
	}
	for i, r := range replicas {
		eventually(t, func() error {
			if diff := cmp.Diff(want, r.snapshot()); diff != "" {
				return fmt.Errorf("watcher %d has not what is there (-there +seen):\n%s", i, diff)
			}
			return nil
		})
	}
	stopWatching()
	followers.Wait()
	server.Stop()
}

// replica is what a watcher knows of the pods in a namespace.
type replica struct {
	pods   corev1client.PodInterface
	latest string // the resource version to go on from

	mu   sync.Mutex
	seen map[string]string // resource versions by name; guarded by mu
}

func newReplica(t *testing.T, pods corev1client.PodInterface) *replica {
	t.Helper()
	list, err := pods.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &replica{pods: pods, latest: list.ResourceVersion, seen: map[string]string{}}
}

func (r *replica) snapshot() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.seen)
}

// follow keeps up until ctx ends. It watches for a few events at a time, so that resuming is tested too.
func (r *replica) follow(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		events, err := r.pods.Watch(ctx, metav1.ListOptions{ResourceVersion: r.latest, AllowWatchBookmarks: true})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.Errorf("watch from %s: %v", r.latest, err)
			return
		}
		for range 50 {
			event, open := <-events.ResultChan()
			if !open || ctx.Err() != nil {
				break
			}
			if err := r.take(event); err != nil {
				t.Error(err)
				events.Stop()
				return
			}
		}
		events.Stop()
	}
}

func (r *replica) take(event watch.Event) error {
	pod, ok := event.Object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("after %s came %s %v", r.latest, event.Type, event.Object)
	}
	// Revisions have as many digits as they need; of two, the longer is the later, else the greater.
	if len(pod.ResourceVersion) < len(r.latest) || len(pod.ResourceVersion) == len(r.latest) && pod.ResourceVersion <= r.latest &&
		event.Type != watch.Bookmark {
		return fmt.Errorf("after %s came %s %s at %s", r.latest, event.Type, pod.Name, pod.ResourceVersion)
	}
	r.latest = pod.ResourceVersion
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.seen[pod.Name]
	switch {
	case event.Type == watch.Added && !known, event.Type == watch.Modified && known:
		r.seen[pod.Name] = pod.ResourceVersion
	case event.Type == watch.Deleted && known:
		delete(r.seen, pod.Name)
	case event.Type != watch.Bookmark:
		return fmt.Errorf("%s %s at %s, known: %t", event.Type, pod.Name, pod.ResourceVersion, known)
	}
	return nil
}

// readOn lists in pages, as tables and by selectors until ctx ends.
func readOn(ctx context.Context, t *testing.T, client kubernetes.Interface) {
	for i := 0; ctx.Err() == nil; i++ {
		options := []metav1.ListOptions{
			{},
			{Limit: 5},
			{LabelSelector: "colour=red"},
			{FieldSelector: "status.phase=Pending"},
			{ResourceVersion: "0"},
		}[i%5]
		list, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, options)
		if err == nil && list.Continue != "" {
			_, err = client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 5, Continue: list.Continue})
		}
		if err == nil {
			err = client.CoreV1().RESTClient().Get().Resource("pods").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").
				Do(ctx).Error()
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("read with %v: %v", options, err)
			return
		}
	}
}

// write does something to a pod. That others were faster is no error.
func write(ctx context.Context, pods corev1client.PodInterface, random *rand.Rand, names int) error {
	name := fmt.Sprintf("p%d", random.IntN(names))
	var err error
	switch random.IntN(6) {
	case 0, 1:
		_, err = pods.Create(ctx, pod(name, map[string]string{"colour": "red"}), metav1.CreateOptions{})
	case 2:
		patch := fmt.Sprintf(`{"metadata":{"labels":{"colour":"blue","n":"%d"}}}`, random.Int())
		_, err = pods.Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	case 3:
		patch := fmt.Sprintf(`{"status":{"phase":"Running","message":"%d"}}`, random.Int())
		_, err = pods.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	case 4:
		apply := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"annotations":{"n":"%d"}},`+
			`"spec":{"containers":[{"name":"web","image":"registry.example.org/web:1"}]}}`, name, random.Int())
		force := true
		_, err = pods.Patch(ctx, name, types.ApplyPatchType, []byte(apply), metav1.PatchOptions{FieldManager: "m", Force: &force})
	case 5:
		err = pods.Delete(ctx, name, metav1.DeleteOptions{})
	}
	if apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
