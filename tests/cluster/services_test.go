package cluster

import (
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// service leads to those pods that are ready.
func service(t *testing.T, c *cluster) {
	ns := c.namespace(t, "service")
	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=3")
	c.kubectl(t, ns, "expose", "deployment", "web", "--port=80", "--target-port=8080")
	for _, change := range [][]string{nil, {"delete", "pod", "--selector=app=web"}, {"scale", "deployment/web", "--replicas=5"}} {
		if change != nil {
			c.kubectl(t, ns, change...)
		}
		await(t, c.slices(ns), func(all []*discoveryv1.EndpointSlice) error {
			return has(slices.Equal(endpoints(all), c.addresses(t, ns)), "after %q slices lead to %v", change, endpoints(all))
		})
	}
	c.kubectl(t, ns, "scale", "deployment/web", "--replicas=0")
	await(t, c.slices(ns), func(all []*discoveryv1.EndpointSlice) error {
		return has(len(endpoints(all)) == 0, "slices lead to %v, where no pods are", endpoints(all))
	})
	c.kubectl(t, ns, "delete", "service", "web")
	await(t, c.slices(ns), none[*discoveryv1.EndpointSlice])
}

// externalService leads to what somebody says by hand.
func externalService(t *testing.T, c *cluster) {
	ns := c.namespace(t, "external")
	c.kubectlWith(t, ns, `{"apiVersion": "v1", "kind": "List", "items": [
		{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "printer"}, "spec": {"ports": [{"port": 631}]}},
		{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "printer"},
		 "subsets": [{"addresses": [{"ip": "192.0.2.17"}], "ports": [{"port": 631}]}]}]}`, "apply", "-f", "-")
	await(t, c.slices(ns), func(all []*discoveryv1.EndpointSlice) error {
		return has(slices.Equal(endpoints(all), []string{"192.0.2.17"}), "slices lead to %v", endpoints(all))
	})
}

// serviceRange is one more range of ClusterIPs.
func serviceRange(t *testing.T, c *cluster) {
	ranges := c.client.NetworkingV1().ServiceCIDRs()
	more := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.98.0.0/24"}}}
	if _, err := ranges.Create(t.Context(), more, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	watched := collection(c.client.NetworkingV1().RESTClient(), "servicecidrs", "")
	await(t, watched, named("more", func(r *networkingv1.ServiceCIDR) error {
		return has(meta.IsStatusConditionTrue(r.Status.Conditions, networkingv1.ServiceCIDRConditionReady), "its conditions are %v", r.Status.Conditions)
	}))
	if err := ranges.Delete(t.Context(), "more", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, watched, func(all []*networkingv1.ServiceCIDR) error {
		return has(len(all) == 1, "there are %d ranges", len(all))
	})
}

func (c *cluster) slices(namespace string) cache.ListerWatcher {
	return collection(c.client.DiscoveryV1().RESTClient(), "endpointslices", namespace)
}

// endpoints are the addresses that are ready, sorted.
func endpoints(all []*discoveryv1.EndpointSlice) []string {
	var addresses []string
	for _, slice := range all {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				addresses = append(addresses, endpoint.Addresses...)
			}
		}
	}
	slices.Sort(addresses)
	return addresses
}

// addresses are those of the pods that are ready now, sorted.
func (c *cluster) addresses(t *testing.T, namespace string) []string {
	t.Helper()
	var addresses []string
	for _, pod := range c.pods(t, namespace) {
		if pod.DeletionTimestamp == nil && podReady(&pod) {
			addresses = append(addresses, pod.Status.PodIP)
		}
	}
	slices.Sort(addresses)
	if i := slices.IndexFunc(addresses, func(address string) bool { return !strings.HasPrefix(address, "10.") }); i >= 0 {
		t.Errorf("a pod that is ready has the address %q", addresses[i])
	}
	return addresses
}
