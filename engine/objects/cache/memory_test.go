package cache

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatehouse/engine/storage"
)

// typicalPod is a pod as clusters have them, about 4 KB in JSON.
func typicalPod(i int) *corev1.Pod {
	name := fmt.Sprintf("checkout-service-5d8f7c9b6-%05d", i)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, GenerateName: "checkout-service-5d8f7c9b6-", UID: types.UID(fmt.Sprintf("0b6f2ed2-3e51-4f0a-9d0f-%012d", i)),
		Labels:      map[string]string{"app": "checkout", "pod-template-hash": "5d8f7c9b6", "tier": "backend"},
		Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
		ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1",
			FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:metadata":{` + strings.Repeat(`"f:labels":{".":{},"f:app":{}},`, 55) + `"f:name":{}}}`)},
		}},
	}}
	env := make([]corev1.EnvVar, 12)
	for n := range env {
		env[n] = corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", n), Value: "a value of some length"}
	}
	p.Spec = corev1.PodSpec{
		NodeName: fmt.Sprintf("node-%03d", i%100), ServiceAccountName: "default", RestartPolicy: corev1.RestartPolicyAlways,
		SchedulerName: "default-scheduler",
		Containers: []corev1.Container{{
			Name: "main", Image: "registry.example.com/shop/checkout:v1.2.3", Env: env,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
			},
			TerminationMessagePath: "/dev/termination-log", ImagePullPolicy: corev1.PullIfNotPresent,
		}},
	}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.1.%d.%d", i/250, i%250), HostIP: "10.0.0.7"}
	for _, condition := range []corev1.PodConditionType{"Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue})
	}
	return p
}

// eventOf is what a store would tell of a write of p.
func eventOf(t testing.TB, p *corev1.Pod, revision int64, previous *storage.Item) storage.Event {
	t.Helper()
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return storage.Event{
		Item:     storage.Item{Key: keyOf(p.Namespace, p.Name), Value: append([]byte(storedMark), data...), ModRevision: revision},
		Previous: previous,
	}
}

// heap is how much is in use, when garbage is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// filled is a cache with so many typical pods that came through the feed.
func filled(t testing.TB, pods int) *house {
	h := open(t, Options{})
	h.view(t)
	for i := range pods {
		h.Observe([]storage.Event{eventOf(t, typicalPod(i), int64(i)+2, nil)})
	}
	return h
}

// warm makes all that is kept of every pod.
func (h *house) warm(t testing.TB) View {
	view := h.view(t)
	for e := range view.Scan("", "") {
		if _, err := e.Attributes(); err != nil {
			t.Fatal(err)
		}
		form(t, e, h.version, JSON)
		form(t, e, h.version, Protobuf)
	}
	return view
}

func TestWarmPodsFitIntoTheirMemory(t *testing.T) {
	const pods = 2000
	var json, protobuf int64
	before := heap()
	h := filled(t, pods)
	cold := heap()
	for e := range h.warm(t).Scan("", "") {
		json += int64(len(form(t, e, h.version, JSON)))
		protobuf += int64(len(form(t, e, h.version, Protobuf)))
	}
	warm := heap()
	each := (warm - before) / pods
	t.Logf("a pod of %d bytes JSON and %d Protobuf takes %d bytes cold and %d with all forms and attributes",
		json/pods, protobuf/pods, (cold-before)/pods, each)
	if limit := int64(8 << 10); each > limit {
		t.Errorf("a pod takes %d bytes, more than %d", each, limit)
	}
	if each > (json+protobuf)/pods+1500 {
		t.Errorf("a pod takes %d bytes, %d more than its two forms", each, each-(json+protobuf)/pods)
	}
	runtime.KeepAlive(h)
}

func TestIdleWatchesAreCheap(t *testing.T) {
	const watches, limit = 10000, 512
	for name, scope := range map[string]func(int) string{
		"of everything": func(int) string { return "" },
		"of a key each": func(i int) string { return keyOf("ns", fmt.Sprintf("pod-%d", i)) },
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, Options{})
			h.put(t, pod("a"))
			h.view(t)
			watchers := make([]*Watcher, 0, watches)
			goroutines := runtime.NumGoroutine()
			before := heap()
			for i := range watches {
				w, _, err := h.pods.Watch(context.Background(), WatchRequest{Scope: scope(i)})
				if err != nil {
					t.Fatal(err)
				}
				watchers = append(watchers, w)
			}
			each := (heap() - before) / watches
			t.Logf("an idle watch takes %d bytes", each)
			if each > limit {
				t.Errorf("an idle watch takes %d bytes, more than %d", each, limit)
			}
			if more := runtime.NumGoroutine() - goroutines; more > 0 {
				t.Errorf("%d goroutines were started", more)
			}
			h.put(t, pod("pod-7"))
			await(t, watchers[7], 1)
			for _, w := range watchers {
				w.Close()
			}
			if n := h.watchers(); n != 0 {
				t.Errorf("%d watchers are left", n)
			}
		})
	}
}
