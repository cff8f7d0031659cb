package api

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/objects/informers"
)

// Informed is an informers.Resolver: it finds where the objects of a kind are kept, and how to show them in the kind's version.
func (a *API) Informed(kind schema.GroupVersionKind) (informers.Resource, error) {
	v := a.versions[root(kind.GroupVersion())]
	if v == nil {
		return informers.Resource{}, fmt.Errorf("%s is not served", kind.GroupVersion())
	}
	for _, r := range v.resources {
		if r.kind != kind || r.isSubresource() {
			continue
		}
		reader, err := r.reader()
		if err != nil {
			return informers.Resource{}, err
		}
		if reader == nil {
			break
		}
		return informers.Resource{
			GroupResource: v.WithResource(r.name).GroupResource(),
			Namespaced:    r.namespaced,
			Collection:    reader.Collection,
			Prefix:        reader.Resource.Prefix + "/",
			Decode:        reader.Object,
		}, nil
	}
	return informers.Resource{}, fmt.Errorf("%s has no objects that are stored", kind)
}
