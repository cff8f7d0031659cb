package catalog

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/registry/core/service/allocator"
	"k8s.io/kubernetes/pkg/registry/core/service/portallocator"
)

const (
	// nodePortFillTimeout bounds the one listing of Services that fills the allocator.
	nodePortFillTimeout = 30 * time.Second
	// nodePortFillPage is how many Services are held decoded at a time while it is filled.
	nodePortFillPage = 500
)

// newNodePortAllocator hands out node ports. Which are taken stands in the Services themselves, so nothing else is stored: the
// allocator reads them when it is first asked, and from then on every Service passes through it.
func newNodePortAllocator(ports utilnet.PortRange, client kubernetes.Interface) (*portallocator.PortAllocator, error) {
	return portallocator.New(ports, func(max int, spec string, offset int) (allocator.Interface, error) {
		return &nodePorts{
			taken:  allocator.NewAllocationMapWithOffset(max, spec, offset),
			client: client,
			ports:  ports,
		}, nil
	})
}

// nodePorts is an allocator.Interface over offsets into ports, safe for concurrent use.
type nodePorts struct {
	taken  *allocator.AllocationBitmap
	client kubernetes.Interface
	ports  utilnet.PortRange

	// fillMu guards filled, which says that taken holds the ports of all stored Services.
	fillMu sync.Mutex
	filled bool
}

var _ allocator.Interface = (*nodePorts)(nil)

// fill reads the ports of the stored Services, once. Asked while a Service is being written, it cannot miss a port: a Service
// is stored only after its ports were allocated here.
func (n *nodePorts) fill() error {
	n.fillMu.Lock()
	defer n.fillMu.Unlock()
	if n.filled {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), nodePortFillTimeout)
	defer cancel()
	options := metav1.ListOptions{Limit: nodePortFillPage}
	for {
		page, err := n.client.CoreV1().Services(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return fmt.Errorf("read the node ports in use from the stored Services: %w", err)
		}
		for i := range page.Items {
			if err := n.take(&page.Items[i]); err != nil {
				return err
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			n.filled = true
			return nil
		}
	}
}

func (n *nodePorts) take(service *corev1.Service) error {
	ports := []int32{service.Spec.HealthCheckNodePort}
	for _, port := range service.Spec.Ports {
		ports = append(ports, port.NodePort)
	}
	for _, port := range ports {
		if !n.ports.Contains(int(port)) {
			continue // none, or from a range that the configuration no longer has
		}
		if _, err := n.taken.Allocate(int(port) - n.ports.Base); err != nil {
			return fmt.Errorf("take node port %d of Service %s/%s: %w", port, service.Namespace, service.Name, err)
		}
	}
	return nil
}

func (n *nodePorts) Allocate(offset int) (bool, error) {
	if err := n.fill(); err != nil {
		return false, err
	}
	return n.taken.Allocate(offset)
}

func (n *nodePorts) AllocateNext() (int, bool, error) {
	if err := n.fill(); err != nil {
		return 0, false, err
	}
	return n.taken.AllocateNext()
}

func (n *nodePorts) Release(offset int) error {
	if err := n.fill(); err != nil {
		return err
	}
	return n.taken.Release(offset)
}

func (n *nodePorts) ForEach(visit func(int)) { n.taken.ForEach(visit) }
func (n *nodePorts) Has(offset int) bool     { return n.taken.Has(offset) }
func (n *nodePorts) Free() int               { return n.taken.Free() }
func (n *nodePorts) Destroy()                { n.taken.Destroy() }
