package cluster

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// deployment is a user's day with 50 pods.
func deployment(t *testing.T, c *cluster) {
	ns := c.namespace(t, "deployment")
	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=50")
	c.kubectl(t, ns, "rollout", "status", "deployment/web", "--timeout", patience.String())
	await(t, c.core("pods", ns), runs(50, "registry.example.org/web:1"))

	c.kubectl(t, ns, "scale", "deployment/web", "--replicas=20")
	await(t, c.core("pods", ns), runs(20, "registry.example.org/web:1"))

	c.kubectl(t, ns, "set", "image", "deployment/web", "web=registry.example.org/web:2")
	await(t, c.apps("deployments", ns), named("web", func(d *appsv1.Deployment) error {
		// A quarter may be missing at any time, and no more.
		if d.Status.AvailableReplicas < 15 {
			t.Errorf("%d of 20 pods are available during an update", d.Status.AvailableReplicas)
		}
		return rolledOut(d)
	}))
	await(t, c.core("pods", ns), runs(20, "registry.example.org/web:2"))
	if history := c.kubectl(t, ns, "rollout", "history", "deployment/web"); strings.Count(history, "<none>") != 2 {
		t.Errorf("the history has not two revisions:\n%s", history)
	}

	c.kubectl(t, ns, "rollout", "undo", "deployment/web")
	c.kubectl(t, ns, "rollout", "status", "deployment/web", "--timeout", patience.String())
	await(t, c.core("pods", ns), runs(20, "registry.example.org/web:1"))
	await(t, c.apps("replicasets", ns), func(all []*appsv1.ReplicaSet) error {
		return has(len(all) == 2, "there are %d ReplicaSets, want that of each image", len(all))
	})
	if events := c.kubectl(t, ns, "events", "--for", "deployment/web"); !strings.Contains(events, "Scaled down replica set") {
		t.Errorf("no event tells of the update:\n%s", events)
	}

	c.kubectl(t, ns, "delete", "deployment", "web")
	await(t, c.apps("replicasets", ns), none[*appsv1.ReplicaSet])
	await(t, c.core("pods", ns), none[*corev1.Pod])
}

// runs wants so many pods, all ready and of an image.
func runs(want int, image string) func([]*corev1.Pod) error {
	return func(all []*corev1.Pod) error {
		addresses, placed := map[string]bool{}, 0
		for _, pod := range all {
			if pod.Spec.NodeName != "" {
				placed++
			}
			if pod.DeletionTimestamp == nil && podReady(pod) && pod.Spec.Containers[0].Image == image {
				addresses[pod.Status.PodIP] = true
			}
		}
		return has(len(all) == want && len(addresses) == want, "of %d pods %d are on nodes, and %d ready and of image %s, want %d",
			len(all), placed, len(addresses), image, want)
	}
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// rolledOut wants what `kubectl rollout status` waits for.
func rolledOut(d *appsv1.Deployment) error {
	s := d.Status
	return has(s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == *d.Spec.Replicas && s.Replicas == s.UpdatedReplicas &&
		s.AvailableReplicas == s.UpdatedReplicas, "%s: %d replicas, %d updated, %d available", d.Name, s.Replicas, s.UpdatedReplicas, s.AvailableReplicas)
}
