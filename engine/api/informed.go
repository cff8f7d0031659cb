package api

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/api/read"
	"gatehouse/engine/objects/informers"
)

// Informed is an informers.Resolver: it finds where the objects of a kind are kept, and how to show them in the kind's version.
func (a *API) Informed(kind schema.GroupVersionKind) (informers.Resource, error) {
	v, r, reader, err := a.stored(kind)
	if err != nil {
		return informers.Resource{}, err
	}
	return informers.Resource{
		GroupResource: v.WithResource(r.name).GroupResource(),
		Namespaced:    r.namespaced,
		Collection:    reader.Collection,
		Prefix:        reader.Resource.Prefix + "/",
		Decode:        reader.Object,
	}, nil
}

// Shown is an object as a GET answers with it in JSON, without its line end; nil if there is none. It costs the server no request.
func (a *API) Shown(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) ([]byte, error) {
	_, r, reader, err := a.stored(kind)
	if err != nil {
		return nil, err
	}
	if r.namespaced != (namespace != "") {
		return nil, fmt.Errorf("read the %s %q: a namespace is given for what is in none, or none for what is in one", kind.Kind, name)
	}
	return reader.JSON(ctx, namespace, name)
}

// stored finds the resource of a kind, and what reads it in the kind's version.
func (a *API) stored(kind schema.GroupVersionKind) (*version, *resource, *read.Reader, error) {
	v := a.versions[root(kind.GroupVersion())]
	if v == nil {
		return nil, nil, nil, fmt.Errorf("%s is not served", kind.GroupVersion())
	}
	for _, r := range v.resources {
		if r.kind != kind || r.isSubresource() {
			continue
		}
		reader, err := r.reader()
		if err != nil {
			return nil, nil, nil, err
		}
		if reader == nil {
			break
		}
		return v, r, reader, nil
	}
	return nil, nil, nil, fmt.Errorf("%s has no objects that are stored", kind)
}
