package api

import (
	"net/http"

	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"

	"gatehouse/engine/api/read"
	"gatehouse/engine/catalog"
)

// stored is where the resource's objects are kept; ok is false for resources without a store of their own, such as
// subresources and reviews.
func (r *resource) stored(v *version) (stored read.Resource, ok bool) {
	config := r.api.config
	if config.Cache == nil || r.isSubresource() {
		return read.Resource{}, false
	}
	store := config.Stores.Find("/" + config.Catalog.Factory.ResourcePrefix(v.WithResource(r.name).GroupResource()))
	if store == nil {
		return read.Resource{}, false
	}
	settings := store.Config()
	return read.Resource{
		Prefix:     store.KeyPrefix(),
		Namespaced: r.namespaced,
		NewObject:  settings.NewObject,
		NewList:    settings.NewList,
		Attributes: settings.Attributes,
		Indexed:    settings.Indexed,
		Codec:      settings.Codec,
		Decode:     store.Decode,
		Decorate:   catalog.DecorateOnRead(r.storage),
	}, true
}

// newReader is nil for resources without a store of their own.
func (r *resource) newReader(v *version) (*read.Reader, error) {
	resource, ok := r.stored(v)
	if !ok {
		return nil, nil
	}
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	config := r.api.config
	return read.New(read.Config{
		Scope:           scope,
		Resource:        resource,
		Collection:      read.NewCollection(config.Cache, resource),
		MinWatchTimeout: config.MinWatchTimeout,
		Counts:          config.Reads,
	})
}

// fromCache lets the reader, if there is one, answer before upstream's handler.
func (r *resource) fromCache(upstream http.HandlerFunc, wrap func(*read.Reader) http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		reader, err := r.reader()
		switch {
		case err != nil:
			responsewriters.InternalError(w, request, err)
		case reader == nil:
			upstream(w, request)
		default:
			wrap(reader)(w, request)
		}
	}
}
