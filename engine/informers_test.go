package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// witness is an event handler that writes down what it is told of each object, in order and in full.
type witness struct {
	mu   sync.Mutex // guards told
	told map[string][]string
	last chan struct{} // closed when it is told of the object named last
}

const (
	// firstName is written before there are informers.
	firstName = "test-first"
	// lastName is written last: who has seen it has seen all.
	lastName = "test-last"
)

// isOurs tells what the test writes from what the server writes beside it, such as the bootstrap roles.
func isOurs(name string) bool { return strings.HasPrefix(name, "test-") }

func newWitness() *witness { return &witness{told: map[string][]string{}, last: make(chan struct{})} }

func (w *witness) write(verb string, named any, states ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	accessor, err := meta.Accessor(named)
	if err != nil {
		verb, accessor = err.Error(), &metav1.ObjectMeta{Name: firstName}
	}
	if !isOurs(accessor.GetName()) {
		return
	}
	for _, state := range states {
		encoded, err := json.Marshal(state)
		if err != nil {
			encoded = []byte(err.Error())
		}
		verb += "\n\t" + string(encoded)
	}
	key := accessor.GetNamespace() + "/" + accessor.GetName()
	w.told[key] = append(w.told[key], verb)
	if accessor.GetName() == lastName {
		close(w.last)
	}
}

func (w *witness) OnAdd(object any, initial bool) {
	w.write(fmt.Sprintf("add %t", initial), object, object)
}
func (w *witness) OnUpdate(old, object any) { w.write("update", object, old, object) }
func (w *witness) OnDelete(object any)      { w.write("delete", object, object) }

// written are the kinds that the test writes: one that is decorated as it is read, one that is stored in another version than
// the one asked for, bulk kinds and kinds that are kept whole.
func written(r *running, t *testing.T) map[schema.GroupVersionResource]func(name string, step int) error {
	client, ctx := r.client(t), t.Context()
	named := func(name string, step int) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Labels: map[string]string{"step": fmt.Sprint(step)}}
	}
	return map[schema.GroupVersionResource]func(name string, step int) error{
		corev1.SchemeGroupVersion.WithResource("configmaps"): func(name string, step int) error {
			maps := client.CoreV1().ConfigMaps("default")
			return write(ctx, step, name, &corev1.ConfigMap{ObjectMeta: named(name, step), BinaryData: map[string][]byte{"x": {}}},
				maps.Create, maps.Update, maps.Delete)
		},
		corev1.SchemeGroupVersion.WithResource("pods"): func(name string, step int) error {
			pods := client.CoreV1().Pods("default")
			relabel := func(ctx context.Context, wanted *corev1.Pod, options metav1.UpdateOptions) (*corev1.Pod, error) {
				pod, err := pods.Get(ctx, name, metav1.GetOptions{}) // with what admission added to it
				if err != nil {
					return nil, err
				}
				pod.Labels = wanted.Labels
				return pods.Update(ctx, pod, options)
			}
			return write(ctx, step, name, &corev1.Pod{ObjectMeta: named(name, step), Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "c", Image: "i"}},
			}}, pods.Create, relabel, func(ctx context.Context, name string, options metav1.DeleteOptions) error {
				options.GracePeriodSeconds = new(int64)
				return pods.Delete(ctx, name, options)
			})
		},
		corev1.SchemeGroupVersion.WithResource("services"): func(name string, step int) error {
			services := client.CoreV1().Services("default")
			return write(ctx, step, name, &corev1.Service{ObjectMeta: named(name, step), Spec: corev1.ServiceSpec{
				Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"a": "b"},
			}}, services.Create, services.Update, services.Delete)
		},
		autoscalingv1.SchemeGroupVersion.WithResource("horizontalpodautoscalers"): func(name string, step int) error {
			scalers := client.AutoscalingV1().HorizontalPodAutoscalers("default")
			return write(ctx, step, name, &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: named(name, step),
				Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
					ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "d"}, MaxReplicas: 3,
				}}, scalers.Create, scalers.Update, scalers.Delete)
		},
		rbacv1.SchemeGroupVersion.WithResource("clusterroles"): func(name string, step int) error {
			roles := client.RbacV1().ClusterRoles()
			return write(ctx, step, name, &rbacv1.ClusterRole{ObjectMeta: named(name, step)}, roles.Create, roles.Update, roles.Delete)
		},
	}
}

// write creates the object at a step of 0, deletes it at a negative one and updates it otherwise.
func write[T any](
	ctx context.Context, step int, name string, object T,
	create func(context.Context, T, metav1.CreateOptions) (T, error),
	update func(context.Context, T, metav1.UpdateOptions) (T, error),
	remove func(context.Context, string, metav1.DeleteOptions) error,
) (err error) {
	switch {
	case step < 0:
		return remove(ctx, name, metav1.DeleteOptions{})
	case step == 0:
		_, err = create(ctx, object, metav1.CreateOptions{})
	default:
		_, err = update(ctx, object, metav1.UpdateOptions{})
	}
	return err
}

// TestInformersTellWhatThoseOfClientGoTell writes at random and holds each of our informers against client-go's, which lists and
// watches the same server: for every object the same events with the same states, and in the end the same lists.
func TestInformersTellWhatThoseOfClientGoTell(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	inProtobuf := rest.CopyConfig(server.Admin) // so that ours meets encoded forms as well as states that nobody has encoded yet
	inProtobuf.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(inProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	theirs := informers.NewSharedInformerFactory(client, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer theirs.Shutdown()
	defer cancel()
	kinds := written(server, t)
	for _, write := range kinds {
		if err := write(firstName, 0); err != nil {
			t.Fatal(err)
		}
	}
	type pair struct {
		ours, theirs             cache.SharedIndexInformer
		ourWitness, theirWitness *witness
	}
	pairs := map[schema.GroupVersionResource]pair{}
	for resource := range kinds {
		ours, err := server.parts.informers.ForResource(resource)
		if err != nil {
			t.Fatal(err)
		}
		their, err := theirs.ForResource(resource)
		if err != nil {
			t.Fatal(err)
		}
		p := pair{ours.Informer(), their.Informer(), newWitness(), newWitness()}
		for informer, witness := range map[cache.SharedIndexInformer]*witness{p.ours: p.ourWitness, p.theirs: p.theirWitness} {
			handle, err := informer.AddEventHandler(witness)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := informer.RemoveEventHandler(handle); err != nil {
					t.Error(err)
				}
			}()
		}
		pairs[resource] = p
	}
	server.parts.informers.StartWithContext(ctx)
	theirs.StartWithContext(ctx)
	if err := theirs.WaitForCacheSyncWithContext(ctx).AsError(); err != nil {
		t.Fatal(err)
	}

	var writing sync.WaitGroup
	for resource, write := range kinds {
		writing.Go(func() { writeAtRandom(t, resource.String(), write) })
	}
	writing.Wait()
	for resource, p := range pairs {
		t.Run(resource.Resource, func(t *testing.T) {
			for _, w := range []*witness{p.ourWitness, p.theirWitness} {
				select {
				case <-w.last:
				case <-time.After(30 * time.Second):
					t.Fatal("an informer was not told of the last write")
				}
			}
			if diff := cmp.Diff(p.theirWitness.told, p.ourWitness.told); diff != "" {
				t.Errorf("events (-client-go's +ours):\n%s", diff)
			}
			if diff := cmp.Diff(states(t, p.theirs), states(t, p.ours)); diff != "" {
				t.Errorf("store (-client-go's +ours):\n%s", diff)
			}
		})
	}
}

func writeAtRandom(t *testing.T, kind string, write func(name string, step int) error) {
	random := rand.New(rand.NewPCG(7, 7))
	steps := map[string]int{}
	for range 60 {
		name := fmt.Sprintf("test-%d", random.IntN(5))
		step, exists := steps[name]
		if exists && random.IntN(3) == 0 {
			step = -1
			delete(steps, name)
		} else {
			steps[name] = step + 1
		}
		if err := write(name, step); err != nil {
			t.Errorf("%s %s, step %d: %v", kind, name, step, err)
		}
	}
	if err := write(lastName, 0); err != nil {
		t.Errorf("%s %s: %v", kind, lastName, err)
	}
}

// states is what a store holds, encoded.
func states(t *testing.T, informer cache.SharedIndexInformer) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, key := range informer.GetStore().ListKeys() {
		if !isOurs(key[strings.LastIndex(key, "/")+1:]) {
			continue
		}
		object, exists, err := informer.GetStore().GetByKey(key)
		if err != nil || !exists {
			t.Errorf("get %s: %t, %v", key, exists, err)
			continue
		}
		encoded, err := json.Marshal(object)
		if err != nil {
			t.Error(err)
		}
		found[key] = string(encoded)
	}
	for _, object := range informer.GetStore().List() {
		key, err := cache.MetaNamespaceKeyFunc(object)
		if err != nil {
			t.Error(err)
		}
		encoded, err := json.Marshal(object)
		if err != nil {
			t.Error(err)
		}
		if want := found[key]; isOurs(key[strings.LastIndex(key, "/")+1:]) && want != string(encoded) {
			t.Errorf("%s is listed as\n%s\nand gotten as\n%s", key, encoded, want)
		}
	}
	return found
}

// TestEveryStoredKindHasAnInformer asks for the informer of each kind that the server stores, and reads it.
func TestEveryStoredKindHasAnInformer(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	checked := 0
	for _, version := range server.parts.api.Versions() {
		for _, resource := range version.Resources {
			if version.Group == "plugins.gatehouse.dev" { // is not stored
				continue
			}
			if strings.Contains(resource.Name, "/") || !strings.Contains(strings.Join(resource.Verbs, " "), "watch") {
				continue
			}
			informer, err := server.parts.informers.ForResource(version.WithResource(resource.Name))
			if err != nil {
				t.Error(err)
				continue
			}
			if _, exists, err := informer.Informer().GetIndexer().GetByKey("default/nothing"); exists || err != nil {
				t.Errorf("read %s of %s: %t, %v", resource.Name, version, exists, err)
			}
			checked++
		}
	}
	if checked < 50 {
		t.Errorf("checked only %d kinds", checked)
	}
}
