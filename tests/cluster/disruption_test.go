package cluster

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// disruption refuses evictions that would leave too few pods.
func disruption(t *testing.T, c *cluster) {
	ns := c.namespace(t, "disruption")
	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=2")
	c.kubectl(t, ns, "create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=2")
	await(t, c.core("pods", ns), runs(2, "registry.example.org/web:1"))
	await(t, c.budgets(ns), allows(0))
	victim := c.pods(t, ns)[0]
	if err := c.evict(t, victim); !isDisruption(err) {
		t.Errorf("evicting a pod that is needed: %v, want a refusal because of the budget", err)
	}

	c.kubectl(t, ns, "scale", "deployment/web", "--replicas=3")
	await(t, c.budgets(ns), allows(1))
	if err := c.evict(t, victim); err != nil {
		t.Fatal(err)
	}
	await(t, c.core("pods", ns), func(all []*corev1.Pod) error {
		gone := !slices.ContainsFunc(all, func(pod *corev1.Pod) bool { return pod.UID == victim.UID })
		return has(gone, "the evicted pod is still there")
	})
	await(t, c.core("pods", ns), runs(3, "registry.example.org/web:1"))
	await(t, c.budgets(ns), allows(1))
}

func (c *cluster) evict(t *testing.T, pod corev1.Pod) error {
	t.Helper()
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}}
	return c.client.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(), eviction)
}

// isDisruption tells whether an eviction was refused for now because of a budget.
func isDisruption(err error) bool {
	return apierrors.IsTooManyRequests(err) && apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause)
}

func (c *cluster) budgets(namespace string) cache.ListerWatcher {
	return collection(c.client.PolicyV1().RESTClient(), "poddisruptionbudgets", namespace)
}

func allows(disruptions int32) func([]*policyv1.PodDisruptionBudget) error {
	return named("web", func(budget *policyv1.PodDisruptionBudget) error {
		s := budget.Status
		return has(s.ObservedGeneration == budget.Generation && s.DisruptionsAllowed == disruptions, "%d disruptions are allowed", s.DisruptionsAllowed)
	})
}
