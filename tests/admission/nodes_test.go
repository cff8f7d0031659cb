package admission

import (
	"fmt"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// TestANodeWritesWhatIsItsOwnAndNothingElse is NodeRestriction's, which gatehouse asks by default.
func TestANodeWritesWhatIsItsOwnAndNothingElse(t *testing.T) {
	w := start(t)
	ours := w.as(t, "system:node:ours", "system:nodes")
	for _, name := range []string{"ours", "theirs"} {
		mustMake(t, w.CoreV1().Nodes().Create, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		mustMake(t, w.CoreV1().Pods("default").Create, pod("on-"+name, func(p *corev1.Pod) { p.Spec.NodeName = name }))
	}
	label := func(node, label string) func() error {
		return func() error {
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"x"}}}`, label)
			_, err := ours.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		}
	}
	status := func(pod string) func() error {
		return func() error {
			patch := []byte(`{"status":{"message":"x"}}`)
			_, err := ours.CoreV1().Pods("default").Patch(t.Context(), pod, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
			return err
		}
	}
	create := func(client *kubernetes.Clientset, change func(*corev1.Pod)) func() error {
		return func() error {
			_, err := client.CoreV1().Pods("default").Create(t.Context(), pod("mirror", change), metav1.CreateOptions{})
			return err
		}
	}
	for name, test := range map[string]struct {
		write func() error
		want  string // empty if it may
	}{
		"a label of its own":         {label("ours", "example.org/rack"), ""},
		"another node's label":       {label("theirs", "example.org/rack"), `nodes "theirs" is forbidden: node "ours" is not allowed to modify node "theirs"`},
		"a label that is restricted": {label("ours", "node-restriction.kubernetes.io/trusted"), "is not allowed to modify labels: node-restriction.kubernetes.io/trusted"},
		"its pod's status":           {status("on-ours"), ""},
		"the status of another's": {status("on-theirs"),
			`node "ours" can only update pod status for pods with spec.nodeName set to itself`},
		"a pod that is no mirror": {create(ours, func(p *corev1.Pod) { p.Spec.NodeName = "ours" }),
			`pod does not have "kubernetes.io/config.mirror" annotation, node "ours" can only create mirror pods`},
		"its taints": {func() error {
			patch := []byte(`{"spec":{"taints":[]}}`)
			_, err := ours.CoreV1().Nodes().Patch(t.Context(), "ours", types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		}, `node "ours" is not allowed to modify taints`},
		"another node's lease": {func() error {
			_, err := ours.CoordinationV1().Leases("kube-node-lease").Create(t.Context(), lease("theirs"), metav1.CreateOptions{})
			return err
		}, "can only access node lease with the same name as the requesting node"},
		"its lease": {func() error {
			_, err := ours.CoordinationV1().Leases("kube-node-lease").Create(t.Context(), lease("ours"), metav1.CreateOptions{})
			return err
		}, ""},
		"the end of another's pod": {func() error {
			return ours.CoreV1().Pods("default").Delete(t.Context(), "on-theirs", metav1.DeleteOptions{})
		}, `node "ours" can only delete pods with spec.nodeName set to itself`},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.write()
			switch {
			case test.want != "":
				wantError(t, err, test.want)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

func lease(name string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
