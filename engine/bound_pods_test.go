package engine

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// TestPodsComeIntoViewOfTheirNodeWhenTheyAreBound has watches as kubelets and schedulers have them, by the node that pods are on.
func TestPodsComeIntoViewOfTheirNodeWhenTheyAreBound(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	pods := server.client(t).CoreV1().Pods("default")
	follow := func(selector string) watch.Interface {
		t.Helper()
		w, err := pods.Watch(t.Context(), metav1.ListOptions{FieldSelector: selector})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
		return w
	}
	waiting, one, two := follow("spec.nodeName="), follow("spec.nodeName=node-1"), follow("spec.nodeName=node-2,status.phase!=Failed")

	for _, node := range []string{"node-1", "node-2"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "on-" + node}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
		if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
		if err := pods.Bind(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		bound, err := pods.Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		bound.Status.Phase = corev1.PodFailed
		if _, err := pods.UpdateStatus(t.Context(), bound, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := pods.Delete(t.Context(), pod.Name, *metav1.NewDeleteOptions(0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		from watch.Interface
		want []string
	}{
		{"who waits for pods to be bound", waiting, []string{
			"ADDED on-node-1 on , Pending", "DELETED on-node-1 on , Pending", "ADDED on-node-2 on , Pending", "DELETED on-node-2 on , Pending",
		}},
		{"the first node", one, []string{
			"ADDED on-node-1 on node-1, Pending", "MODIFIED on-node-1 on node-1, Failed",
			"MODIFIED on-node-1 on node-1, Failed", "DELETED on-node-1 on node-1, Failed", // first it is marked as being deleted
		}},
		{"the second node, which wants no pods that have failed", two, []string{
			"ADDED on-node-2 on node-2, Pending", "DELETED on-node-2 on node-2, Pending",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for range test.want {
				event := <-test.from.ResultChan()
				pod, ok := event.Object.(*corev1.Pod)
				if !ok {
					t.Fatalf("after %q the watch says %v", got, event)
				}
				got = append(got, fmt.Sprintf("%s %s on %s, %s", event.Type, pod.Name, pod.Spec.NodeName, pod.Status.Phase))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
