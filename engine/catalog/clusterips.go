package catalog

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	networkinginformers "k8s.io/client-go/informers/networking/v1"
	"k8s.io/client-go/kubernetes"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
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
	stop     chan struct{}
}

// newClusterIPs allocates from whatever ServiceCIDRs there are; ranges only say of which families, the preferred one first.
func newClusterIPs(client kubernetes.Interface, informers informers.SharedInformerFactory, ranges ...net.IPNet) (*clusterIPs, error) {
	networking := informers.Networking().V1()
	c := &clusterIPs{
		byFamily: map[api.IPFamily]ipallocator.Interface{},
		cidrs:    networking.ServiceCIDRs().Lister(),
		stop:     make(chan struct{}),
	}
	cidrs := patientCIDRs{networking.ServiceCIDRs(), networking.IPAddresses(), c.stop}
	for _, cidr := range ranges {
		if cidr.IP == nil {
			continue
		}
		allocator, err := ipallocator.NewMetaAllocator(client.NetworkingV1(), cidrs, networking.IPAddresses(),
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
	close(c.stop)
	for _, allocator := range c.byFamily {
		allocator.Destroy()
	}
}

// patientCIDRs is the informer of ServiceCIDRs for the allocators, which ask whether it has synced as soon as they are made, long
// before that can be, and then every 100 ms: half of the server's start would be waiting for the second time. Here the first
// question is answered when the answer is yes, for all that the allocators wait for, or at the end.
type patientCIDRs struct {
	networkinginformers.ServiceCIDRInformer
	addresses networkinginformers.IPAddressInformer
	stop      <-chan struct{}
}

// Informer implements networkinginformers.ServiceCIDRInformer.
func (p patientCIDRs) Informer() cache.SharedIndexInformer {
	informer := p.ServiceCIDRInformer.Informer()
	return patient{informer, []cache.DoneChecker{informer.HasSyncedChecker(), p.addresses.Informer().HasSyncedChecker()}, p.stop}
}

// patient is an informer that waits for others before it says that it has synced.
type patient struct {
	cache.SharedIndexInformer
	synced []cache.DoneChecker
	stop   <-chan struct{}
}

// HasSynced implements cache.SharedInformer.
func (p patient) HasSynced() bool {
	for _, synced := range p.synced {
		select {
		case <-synced.Done():
		case <-p.stop:
			return false
		}
	}
	return true
}
