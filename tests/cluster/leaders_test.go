package cluster

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// leader waits for a component to have a leader other than that, and says who it is.
func (c *cluster) leader(t *testing.T, component, other string) (holder string) {
	t.Helper()
	await(t, c.leases(), named(component, func(lease *coordinationv1.Lease) error {
		if lease.Spec.HolderIdentity != nil {
			holder = *lease.Spec.HolderIdentity
		}
		return has(holder != "" && holder != other, "the leader is %q", holder)
	}))
	return holder
}

func (c *cluster) leases() cache.ListerWatcher {
	return collection(c.client.CoordinationV1().RESTClient(), "leases", metav1.NamespaceSystem)
}

// succession kills the controller manager that leads. The other one takes over and does its work.
func succession(t *testing.T, c *cluster) {
	ns := c.namespace(t, "succession")
	first := c.leader(t, "kube-controller-manager", "")
	if err := c.managers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=3") // which nobody sees yet
	c.leader(t, "kube-controller-manager", first)
	await(t, c.core("pods", ns), runs(3, "registry.example.org/web:1"))
	await(t, c.leases(), named("kube-controller-manager", func(lease *coordinationv1.Lease) error {
		transitions := lease.Spec.LeaseTransitions
		return has(transitions != nil && *transitions == 1, "the lease has changed hands %v times, want once", transitions)
	}))
}
