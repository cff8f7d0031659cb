package catalog

import (
	"context"
	"fmt"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/kubernetes"
)

// endpointSlicesTimeout bounds the look-up of one Service's endpoints, which is made for a request to its proxy.
const endpointSlicesTimeout = 10 * time.Second

// endpointSlices finds the endpoints of a Service when its proxy is asked for, instead of holding a copy of all in memory.
type endpointSlices struct {
	client kubernetes.Interface
}

var _ proxy.EndpointSliceGetter = endpointSlices{}

// GetEndpointSlices implements proxy.EndpointSliceGetter.
func (e endpointSlices) GetEndpointSlices(namespace, service string) ([]*discoveryv1.EndpointSlice, error) {
	ctx, cancel := context.WithTimeout(context.Background(), endpointSlicesTimeout)
	defer cancel()
	list, err := e.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{discoveryv1.LabelServiceName: service}.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list endpoints of Service %s/%s: %w", namespace, service, err)
	}
	slices := make([]*discoveryv1.EndpointSlice, len(list.Items))
	for i := range list.Items {
		slices[i] = &list.Items[i]
	}
	return slices, nil
}
