package admission

import (
	"net/url"

	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// clusterIPs finds Services at the IP that the cluster knows them by.
type clusterIPs struct{ services corelisters.ServiceLister }

// ClusterIPs finds Services at their cluster IPs, which something on this machine has to route.
func ClusterIPs(from informers.SharedInformerFactory) webhook.ServiceResolver {
	return clusterIPs{from.Core().V1().Services().Lister()}
}

// ResolveEndpoint implements webhook.ServiceResolver.
func (c clusterIPs) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	return proxy.ResolveCluster(c.services, namespace, name, port)
}

// endpoints finds Services where they end.
type endpoints struct {
	services corelisters.ServiceLister
	slices   proxy.EndpointSliceGetter
}

// Endpoints finds Services at one of their endpoints that is ready, which this machine has to have a route to.
func Endpoints(from informers.SharedInformerFactory) (webhook.ServiceResolver, error) {
	slices, err := proxy.NewEndpointSliceIndexerGetter(from.Discovery().V1().EndpointSlices())
	if err != nil {
		return nil, err
	}
	return endpoints{from.Core().V1().Services().Lister(), slices}, nil
}

// ResolveEndpoint implements webhook.ServiceResolver.
func (e endpoints) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	return proxy.ResolveEndpoint(e.services, e.slices, namespace, name, port)
}
