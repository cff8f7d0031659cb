package authz

import (
	"k8s.io/client-go/informers"
	certificatesinformers "k8s.io/client-go/informers/certificates/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	resourceinformers "k8s.io/client-go/informers/resource/v1"
	storageinformers "k8s.io/client-go/informers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/auth/nodeidentifier"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/node"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// newNode makes upstream's authorizer of kubelets, with a graph of what belongs to the pods of each node.
func newNode(factory informers.SharedInformerFactory) *node.NodeAuthorizer {
	node.RegisterMetrics()
	graph := node.NewGraph()
	core := factory.Core().V1()
	node.AddGraphEventHandlers(graph, core.Nodes(),
		pods{core.Pods()},
		volumes{core.PersistentVolumes()},
		attachments{factory.Storage().V1().VolumeAttachments()},
		slicesOf{factory.Resource().V1().ResourceSlices()},
		requests{factory.Certificates().V1().PodCertificateRequests()},
	)
	return node.NewAuthorizer(graph, nodeidentifier.NewDefaultNodeIdentifier(), bootstrappolicy.NodeRules())
}

// The informers that the graph reads, unawaited.
type (
	pods    struct{ coreinformers.PodInformer }
	volumes struct {
		coreinformers.PersistentVolumeInformer
	}
	attachments struct {
		storageinformers.VolumeAttachmentInformer
	}
	slicesOf struct {
		resourceinformers.ResourceSliceInformer
	}
	requests struct {
		certificatesinformers.PodCertificateRequestInformer
	}
)

// Informer implements coreinformers.PodInformer.
func (i pods) Informer() cache.SharedIndexInformer { return unawaited{i.PodInformer.Informer()} }

// Informer implements coreinformers.PersistentVolumeInformer.
func (i volumes) Informer() cache.SharedIndexInformer {
	return unawaited{i.PersistentVolumeInformer.Informer()}
}

// Informer implements storageinformers.VolumeAttachmentInformer.
func (i attachments) Informer() cache.SharedIndexInformer {
	return unawaited{i.VolumeAttachmentInformer.Informer()}
}

// Informer implements resourceinformers.ResourceSliceInformer.
func (i slicesOf) Informer() cache.SharedIndexInformer {
	return unawaited{i.ResourceSliceInformer.Informer()}
}

// Informer implements certificatesinformers.PodCertificateRequestInformer.
func (i requests) Informer() cache.SharedIndexInformer {
	return unawaited{i.PodCertificateRequestInformer.Informer()}
}

// unawaited is an informer that says at once that its handlers have been told everything. Upstream's graph waits for that on a
// goroutine that ends no earlier, be the server closed before, and does nothing then but log it.
type unawaited struct{ cache.SharedIndexInformer }

// AddEventHandler implements cache.SharedIndexInformer.
func (u unawaited) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	registration, err := u.SharedIndexInformer.AddEventHandler(handler)
	return told{registration}, err
}

type told struct {
	cache.ResourceEventHandlerRegistration
}

// HasSynced implements cache.ResourceEventHandlerRegistration.
func (told) HasSynced() bool { return true }
