package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
)

// heartbeats come from every node, as renewals of its lease.
func heartbeats(t *testing.T, c *cluster) {
	first := map[string]time.Time{}
	await(t, collection(c.client.CoordinationV1().RESTClient(), "leases", corev1.NamespaceNodeLease), func(all []*coordinationv1.Lease) error {
		renewed := 0
		for _, lease := range all {
			begun, known := first[lease.Name]
			switch {
			case !known:
				first[lease.Name] = lease.Spec.RenewTime.Time
			case lease.Spec.RenewTime.After(begun):
				renewed++
			}
		}
		return has(renewed > nodes && renewed == len(all), "%d of %d leases are renewed", renewed, len(all))
	})
}

// lostNode falls silent, loses its pods to other nodes, is said to be broken, and comes back.
func lostNode(t *testing.T, c *cluster) {
	ns := c.namespace(t, "moving")
	c.kubectl(t, ns, "apply", "-f", "testdata/moving.yaml")
	on := func(lost bool) func([]*corev1.Pod) error {
		return func(all []*corev1.Pod) error {
			ready := 0
			for _, pod := range all {
				if podReady(pod) && pod.DeletionTimestamp == nil && (pod.Spec.NodeName == stragglerNode) == lost {
					ready++
				}
			}
			return has(ready == 3, "%d of %d pods are ready where they should be", ready, len(all))
		}
	}
	await(t, c.core("pods", ns), on(true))

	if err := c.straggler.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, c.core("nodes", ""), named(stragglerNode, func(node *corev1.Node) error {
		return has(nodeReady(node) == corev1.ConditionUnknown && tainted(node, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute),
			"ready is %s, the taints are %v", nodeReady(node), node.Spec.Taints)
	}))
	await(t, c.core("pods", ns), on(false))
	await(t, c.core("pods", ns), func(all []*corev1.Pod) error {
		for _, pod := range all {
			if pod.Spec.NodeName == stragglerNode && (pod.DeletionTimestamp == nil || podDisruption(pod) != "DeletionByTaintManager") {
				return fmt.Errorf("%s is not evicted because of the taint: %v", pod.Name, pod.Status.Conditions)
			}
		}
		return has(len(all) == 6, "there are %d pods, want those of the lost node to wait for it", len(all))
	})

	c.kubectl(t, "", "taint", "node", stragglerNode, "node.kubernetes.io/out-of-service=broken:NoExecute")
	await(t, c.core("pods", ns), func(all []*corev1.Pod) error {
		return has(len(all) == 3, "there are %d pods, want those to be gone that cannot end by themselves", len(all))
	})

	c.straggler = c.startStraggler()
	c.kubectl(t, "", "taint", "node", stragglerNode, "node.kubernetes.io/out-of-service-")
	await(t, c.core("nodes", ""), named(stragglerNode, func(node *corev1.Node) error {
		return has(nodeReady(node) == corev1.ConditionTrue && !tainted(node, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute),
			"ready is %s, the taints are %v", nodeReady(node), node.Spec.Taints)
	}))
}

// preemption has a pod that matters find room on a node that is full of others.
func preemption(t *testing.T, c *cluster) {
	ns := c.namespace(t, "priorities")
	const name = "node-full"
	c.node(t, name, fleet)
	c.kubectl(t, "", "taint", "node", name, "full=yes:NoSchedule")
	c.kubectl(t, "", "create", "priorityclass", "matters", "--value=1000")
	c.kubectl(t, ns, "apply", "-f", "testdata/filling.yaml")
	await(t, c.core("pods", ns), runs(4, "registry.example.org/filling:1"))

	c.kubectl(t, ns, "apply", "-f", "testdata/matters.yaml")
	await(t, c.core("pods", ns), named("matters", func(pod *corev1.Pod) error {
		return has(podReady(pod) && pod.Spec.NodeName == name, "it is on %q, and its conditions are %v", pod.Spec.NodeName, pod.Status.Conditions)
	}))
	await(t, c.core("pods", ns), func(all []*corev1.Pod) error {
		ready, waiting := 0, 0
		for _, pod := range all {
			switch {
			case podReady(pod):
				ready++
			case slices.ContainsFunc(pod.Status.Conditions, unschedulable):
				waiting++
			}
		}
		return has(len(all) == 5 && ready == 4 && waiting == 1, "%d pods are ready, and %d wait for room", ready, waiting)
	})
}

func unschedulable(condition corev1.PodCondition) bool {
	return condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable
}

func nodeReady(node *corev1.Node) corev1.ConditionStatus {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status
		}
	}
	return ""
}

func tainted(node *corev1.Node, key string, effect corev1.TaintEffect) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == key && taint.Effect == effect {
			return true
		}
	}
	return false
}

// podDisruption is why a pod was to go, if anybody but its owner wanted it to.
func podDisruption(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.DisruptionTarget && condition.Status == corev1.ConditionTrue {
			return condition.Reason
		}
	}
	return ""
}
