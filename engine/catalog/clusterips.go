package catalog

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/service/ipallocator"
	netutils "k8s.io/utils/net"
)

// clusterIPs are the allocators of cluster IPs, one for each IP family. Their state is IPAddress objects, so that it lasts.
type clusterIPs struct {
	byFamily map[api.IPFamily]ipallocator.Interface
	primary  api.IPFamily
	cidrs    networkinglisters.ServiceCIDRLister
	ready    atomic.Bool // set once, when check has succeeded
}

// newClusterIPs allocates from whatever ServiceCIDRs there are; ranges only say of which families, the preferred one first.
func newClusterIPs(client kubernetes.Interface, informers informers.SharedInformerFactory, ranges ...net.IPNet) (*clusterIPs, error) {
	networking := informers.Networking().V1()
	c := &clusterIPs{byFamily: map[api.IPFamily]ipallocator.Interface{}, cidrs: networking.ServiceCIDRs().Lister()}
	for _, cidr := range ranges {
		if cidr.IP == nil {
			continue
		}
		allocator, err := ipallocator.NewMetaAllocator(client.NetworkingV1(), networking.ServiceCIDRs(), networking.IPAddresses(),
			netutils.IsIPv6CIDR(&cidr), nil)
		if err != nil {
			c.destroy()
			return nil, err
		}
		if c.primary == "" {
			c.primary = allocator.IPFamily()
		}
		c.byFamily[allocator.IPFamily()] = allocator
	}
	return c, nil
}

// check tells whether cluster IPs can be allocated: that takes a ServiceCIDR which is ready, and that the allocators have
// heard of it. Until then Services would be refused for want of addresses.
func (c *clusterIPs) check(*http.Request) error {
	if c.ready.Load() {
		return nil
	}
	cidrs, err := c.cidrs.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, cidr := range cidrs {
		if isReady(cidr) && c.haveRanges() {
			c.ready.Store(true)
			return nil
		}
	}
	return errors.New("no ServiceCIDR is ready yet")
}

func isReady(cidr *networkingv1.ServiceCIDR) bool {
	for _, condition := range cidr.Status.Conditions {
		if condition.Type == networkingv1.ServiceCIDRConditionReady {
			return condition.Status == "True"
		}
	}
	return false
}

func (c *clusterIPs) haveRanges() bool {
	for _, allocator := range c.byFamily {
		sized, ok := allocator.(interface {
			Used() int
			Free() int
		})
		if ok && sized.Used()+sized.Free() == 0 {
			return false
		}
	}
	return true
}

func (c *clusterIPs) destroy() {
	for _, allocator := range c.byFamily {
		allocator.Destroy()
	}
}
