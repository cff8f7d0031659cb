package cluster

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// restart kills the server in the middle of a rollout. What was acknowledged is there, what was under way goes on, and nobody has
// to be started again.
func restart(t *testing.T, c *cluster) {
	ns := c.namespace(t, "restart")
	leader := c.leader(t, "kube-controller-manager", "")
	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=40")
	await(t, c.core("pods", ns), func(all []*corev1.Pod) error {
		return has(len(all) > 0, "there are no pods")
	})
	before := c.pods(t, ns)
	c.server.Restart()
	after := c.pods(t, ns)
	for _, pod := range before {
		if !slices.ContainsFunc(after, func(other corev1.Pod) bool { return other.UID == pod.UID }) {
			t.Errorf("pod %s was there before the server was killed, and is not there any more", pod.Name)
		}
	}
	await(t, c.core("pods", ns), runs(40, "registry.example.org/web:1"))
	c.kubectl(t, ns, "set", "image", "deployment/web", "web=registry.example.org/web:2")
	await(t, c.apps("deployments", ns), named("web", rolledOut))
	await(t, c.core("pods", ns), runs(40, "registry.example.org/web:2"))

	if now := c.leader(t, "kube-controller-manager", ""); now != leader {
		t.Errorf("%s leads, want %s to have noticed little", now, leader)
	}
	c.alive(t)
	c.kubectl(t, ns, "delete", "deployment", "web")
	await(t, c.apps("replicasets", ns), none[*appsv1.ReplicaSet])
	await(t, c.core("pods", ns), none[*corev1.Pod])
}
