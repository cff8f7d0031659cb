package authz

import (
	"context"
	"sync"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
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

// nodes is upstream's authorizer of kubelets. Its graph of what belongs to the pods of each node is made when the first node asks:
// it takes more than a kilobyte for each pod, and a server without nodes has no use for it.
type nodes struct {
	*node.NodeAuthorizer
	identifier nodeidentifier.NodeIdentifier
	graph      *node.Graph
	informers  informers.SharedInformerFactory
	start      func()

	asked    sync.Once
	handlers handlers
}

// newNodes makes it. start starts the informers that have been asked for by then.
func newNodes(factory informers.SharedInformerFactory, start func()) *nodes {
	node.RegisterMetrics()
	graph, identifier := node.NewGraph(), nodeidentifier.NewDefaultNodeIdentifier()
	return &nodes{
		NodeAuthorizer: node.NewAuthorizer(graph, identifier, bootstrappolicy.NodeRules()),
		identifier:     identifier, graph: graph, informers: factory, start: start,
	}
}

// Authorize implements authorizer.Authorizer. The first node that asks waits until the graph is complete, for as long as its
// request lasts; before that it is allowed less, and never more.
func (n *nodes) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if n.isNode(a.GetUser()) {
		n.asked.Do(n.follow)
		n.handlers.wait(ctx)
	}
	return n.NodeAuthorizer.Authorize(ctx, a)
}

// ConditionsAwareAuthorize implements authorizer.Authorizer. Nodes know no conditions.
func (n *nodes) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(n.Authorize(ctx, a))
}

func (n *nodes) isNode(u user.Info) bool {
	_, is := n.identifier.NodeIdentity(u)
	return is
}

// follow has the graph follow what it is made of.
func (n *nodes) follow() {
	core := n.informers.Core().V1()
	node.AddGraphEventHandlers(n.graph, core.Nodes(),
		pods{core.Pods(), &n.handlers},
		volumes{core.PersistentVolumes(), &n.handlers},
		attachments{n.informers.Storage().V1().VolumeAttachments(), &n.handlers},
		resourceSlices{n.informers.Resource().V1().ResourceSlices(), &n.handlers},
		certificateRequests{n.informers.Certificates().V1().PodCertificateRequests(), &n.handlers},
	)
	n.start()
}

// handlers are the graph's, by which it is told what there is.
type handlers struct {
	all []cache.ResourceEventHandlerRegistration
}

// wait returns when all have been told what there was when they were added, or when ctx ends.
func (h *handlers) wait(ctx context.Context) {
	for _, one := range h.all {
		select {
		case <-one.HasSyncedChecker().Done():
		case <-ctx.Done():
			return
		}
	}
}

// The informers that the graph reads, with its handlers kept.
type (
	pods struct {
		coreinformers.PodInformer
		handlers *handlers
	}
	volumes struct {
		coreinformers.PersistentVolumeInformer
		handlers *handlers
	}
	attachments struct {
		storageinformers.VolumeAttachmentInformer
		handlers *handlers
	}
	resourceSlices struct {
		resourceinformers.ResourceSliceInformer
		handlers *handlers
	}
	certificateRequests struct {
		certificatesinformers.PodCertificateRequestInformer
		handlers *handlers
	}
)

// Informer implements coreinformers.PodInformer.
func (i pods) Informer() cache.SharedIndexInformer {
	return recorded{i.PodInformer.Informer(), i.handlers}
}

// Informer implements coreinformers.PersistentVolumeInformer.
func (i volumes) Informer() cache.SharedIndexInformer {
	return recorded{i.PersistentVolumeInformer.Informer(), i.handlers}
}

// Informer implements storageinformers.VolumeAttachmentInformer.
func (i attachments) Informer() cache.SharedIndexInformer {
	return recorded{i.VolumeAttachmentInformer.Informer(), i.handlers}
}

// Informer implements resourceinformers.ResourceSliceInformer.
func (i resourceSlices) Informer() cache.SharedIndexInformer {
	return recorded{i.ResourceSliceInformer.Informer(), i.handlers}
}

// Informer implements certificatesinformers.PodCertificateRequestInformer.
func (i certificateRequests) Informer() cache.SharedIndexInformer {
	return recorded{i.PodCertificateRequestInformer.Informer(), i.handlers}
}

// recorded is an informer that keeps what is added to it. It tells upstream at once that the handler has been told everything:
// upstream waits for that on a goroutine that ends no earlier, should the server end before, and does nothing then but log it.
type recorded struct {
	cache.SharedIndexInformer
	handlers *handlers
}

// AddEventHandler implements cache.SharedIndexInformer.
func (r recorded) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	registration, err := r.SharedIndexInformer.AddEventHandler(handler)
	if err == nil {
		r.handlers.all = append(r.handlers.all, registration)
	}
	return told{registration}, err
}

type told struct {
	cache.ResourceEventHandlerRegistration
}

// HasSynced implements cache.ResourceEventHandlerRegistration.
func (told) HasSynced() bool { return true }
