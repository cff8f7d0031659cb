package informers

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcache "k8s.io/client-go/tools/cache"

	"gatehouse/engine/objects/cache"
	"gatehouse/engine/storage"
)

// follower is a handler that keeps the state it was told of, and complains about what does not follow from it.
type follower struct {
	t *testing.T

	mu    sync.Mutex // guards all below
	state map[string]string
	// changed is closed and made anew with every change.
	changed chan struct{}
}

func newFollower(t *testing.T) *follower {
	return &follower{t: t, state: map[string]string{}, changed: make(chan struct{})}
}

func (f *follower) change(was, is any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	named := is
	if is == nil {
		named = was
	}
	if tombstone, ok := named.(clientcache.DeletedFinalStateUnknown); ok {
		named = tombstone.Obj
	}
	pod := named.(*corev1.Pod)
	known, exists := f.state[pod.Name]
	switch {
	case was == nil && exists:
		f.t.Errorf("told to add %s, which is known as %s", told(is), known)
	case was != nil && is != nil && known != was.(*corev1.Pod).ResourceVersion:
		f.t.Errorf("told to update %s, which is known as %q", told(was), known)
	case is == nil && !exists:
		f.t.Errorf("told to delete %s, which is not known", told(was))
	}
	if is == nil {
		delete(f.state, pod.Name)
	} else {
		f.state[pod.Name] = pod.ResourceVersion
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *follower) OnAdd(object any, _ bool) { f.change(nil, object) }
func (f *follower) OnUpdate(old, object any) { f.change(old, object) }
func (f *follower) OnDelete(object any)      { f.change(object, nil) }

// await waits until the follower knows just these pods.
func (f *follower) await(want map[string]string) {
	timeout := time.After(waiting)
	for {
		f.mu.Lock()
		diff, changed := cmp.Diff(want, f.state), f.changed
		f.mu.Unlock()
		if diff == "" {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			f.t.Errorf("a handler does not know the present (-want +got):\n%s", diff)
			return
		}
	}
}

// TestHammer writes from several goroutines while others read, index, and come and go as handlers, with bounds so small that
// watchers are cut off all the time. Every handler must end up with the present, by steps that follow from each other.
func TestHammer(t *testing.T) {
	h := newHouse(t, cache.Options{WatchEvents: 8, WindowEvents: 8}, Options{})
	informer := h.Core().V1().Pods().Informer()
	bindings := h.Rbac().V1().ClusterRoleBindings().Informer().GetIndexer()
	if err := informer.AddIndexers(clientcache.Indexers{"phase": func(object any) ([]string, error) {
		return []string{string(object.(*corev1.Pod).Status.Phase)}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	followers := make([]*follower, 3)
	for i := range followers {
		followers[i] = newFollower(t)
		if _, err := informer.AddEventHandler(followers[i]); err != nil {
			t.Fatal(err)
		}
	}
	h.start(t)

	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 3 {
		random := rand.New(rand.NewPCG(1, uint64(w)))
		writers.Go(func() {
			exists := map[string]bool{}
			for range 150 {
				name := fmt.Sprintf("%d-%d", w, random.IntN(10))
				if exists[name] && random.IntN(3) == 0 {
					exists[name] = false
					h.apply(t, storage.Write{Key: keyFor("Pod", newPod(name, "")), Delete: true, Expected: storage.AnyRevision})
					continue
				}
				exists[name] = true
				revision := h.putPod(t, name, fmt.Sprint(random.IntN(3)))
				// Nobody else writes this pod: the lister has to show just that.
				pod, found, err := informer.GetIndexer().GetByKey("ns/" + name)
				if err != nil || !found || pod.(*corev1.Pod).ResourceVersion != fmt.Sprint(revision) {
					t.Errorf("after revision %d the lister shows %v, %v", revision, pod, err)
				}
				h.put(t, "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}})
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				bindings.List()
				informer.GetStore().List()
				if _, err := informer.GetIndexer().ByIndex("phase", "1"); err != nil {
					t.Error(err)
				}
				handle, err := informer.AddEventHandler(newFollower(t))
				if err != nil {
					t.Error(err)
					return
				}
				if err := clientcache.ShutDownEventHandler(informer, handle); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()

	present := map[string]string{}
	for _, object := range informer.GetStore().List() {
		present[object.(*corev1.Pod).Name] = object.(*corev1.Pod).ResourceVersion
	}
	for _, f := range followers {
		f.await(present)
	}
	found, err := informer.GetIndexer().ByIndex("phase", "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range found {
		if phase := object.(*corev1.Pod).Status.Phase; phase != "1" {
			t.Errorf("%s is indexed as 1", told(object))
		}
	}
}

// TestAnIndexShowsNoObjectUnderAValueThatItDoesNotHave has many ask an index at once while an object goes from one value to another:
// whoever is slower than another still gets keys and objects of one revision.
func TestAnIndexShowsNoObjectUnderAValueThatItDoesNotHave(t *testing.T) {
	h := newHouse(t, cache.Options{}, Options{})
	pods := h.Core().V1().Pods().Informer()
	if err := pods.AddIndexers(clientcache.Indexers{"phase": func(object any) ([]string, error) {
		return []string{string(object.(*corev1.Pod).Status.Phase)}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	phases := []string{"off", "on"}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for reader := range 4 {
		want := phases[reader%2]
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				found, err := pods.GetIndexer().ByIndex("phase", want)
				if err != nil {
					t.Error(err)
				}
				for _, object := range found {
					if phase := object.(*corev1.Pod).Status.Phase; string(phase) != want {
						t.Errorf("a pod that is %s is found under %s", phase, want)
					}
				}
			}
		})
	}
	for round := range 120 {
		h.putPod(t, "a", phases[round%2])
	}
	close(stop)
	readers.Wait()
}
