package informers

import (
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"gatehouse/engine/objects/cache"
)

// ErrNotServed is what is answered before the factory has been told where to read: see Factory.Serve.
var ErrNotServed = errors.New("the informers have nothing to read from yet")

// Resource says where the objects of a kind are read.
type Resource struct {
	schema.GroupResource
	// Namespaced says that keys are namespace/name, and not a name alone.
	Namespaced bool
	// Collection holds the objects.
	Collection *cache.Collection
	// Prefix is what comes before the key of each object in Collection; it ends with a slash.
	Prefix string
	// Decode makes a new object, in the version that the informer's listers promise and without kind and apiVersion, as a typed
	// client would have got it. It is called from many goroutines.
	Decode func(*cache.Entry) (runtime.Object, error)
}

// Resolver finds the resource of a kind, in the kind's version; an error tells that there is none.
type Resolver func(schema.GroupVersionKind) (Resource, error)

const (
	// keptBytes bounds the decoded objects of one resource that is kept whole, bulkBytes those of any other. Both count the objects
	// as stored, and objectBytes for each; decoded they take about three times as much.
	keptBytes = 16 << 20
	bulkBytes = 256 << 10
	// objectBytes is what remembering an object costs beside it, about.
	objectBytes = 256
)

// keptWhole names the resources whose objects stay decoded: those that gates ask about with nearly every request, that hold
// policy rather than workload, and of which there are therefore few.
func keptWhole(resource schema.GroupResource) bool {
	return sets.New(
		"namespaces",
		"limitranges",
		"resourcequotas",
		"roles.rbac.authorization.k8s.io",
		"rolebindings.rbac.authorization.k8s.io",
		"clusterroles.rbac.authorization.k8s.io",
		"clusterrolebindings.rbac.authorization.k8s.io",
		"mutatingwebhookconfigurations.admissionregistration.k8s.io",
		"validatingwebhookconfigurations.admissionregistration.k8s.io",
		"mutatingadmissionpolicies.admissionregistration.k8s.io",
		"mutatingadmissionpolicybindings.admissionregistration.k8s.io",
		"validatingadmissionpolicies.admissionregistration.k8s.io",
		"validatingadmissionpolicybindings.admissionregistration.k8s.io",
		"flowschemas.flowcontrol.apiserver.k8s.io",
		"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
		"priorityclasses.scheduling.k8s.io",
		"runtimeclasses.node.k8s.io",
		"storageclasses.storage.k8s.io",
		"volumeattributesclasses.storage.k8s.io",
		"csidrivers.storage.k8s.io",
		"ingressclasses.networking.k8s.io",
		"servicecidrs.networking.k8s.io",
		"deviceclasses.resource.k8s.io",
	).Has(resource.String())
}
