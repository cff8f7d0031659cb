package read

import (
	"context"
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"
	storeerr "k8s.io/apiserver/pkg/storage/errors"

	"gatehouse/engine/objects/cache"
)

// Get answers GETs of single objects, and leaves to upstream what it does not cover.
func (r *Reader) Get(upstream http.HandlerFunc) http.HandlerFunc {
	return r.before(upstream, r.get)
}

func (r *Reader) get(w http.ResponseWriter, req *http.Request, info *request.RequestInfo) (func(), Reason) {
	if auditsAnswers(req) {
		return nil, Audit
	}
	rep, reason := r.negotiate(req, "PartialObjectMetadata")
	if reason != reasonNone {
		return nil, reason
	}
	options, ok := getOptions(req)
	if !ok {
		return nil, Refused
	}
	ctx := req.Context()
	key, err := r.Resource.key(request.WithNamespace(ctx, info.Namespace), info.Name)
	if err != nil || !r.Resource.holds(key, false) {
		return nil, Refused
	}
	view, err := r.Collection.View(ctx)
	if err != nil {
		return nil, Unavailable
	}
	if !reaches(view, options.ResourceVersion) {
		return nil, Refused
	}
	entry := view.Get(key)
	if entry == nil {
		return func() { r.notFound(w, req, info, key) }, reasonNone
	}
	answer, err := r.showOne(ctx, rep, entry)
	if err != nil {
		return nil, Unreadable
	}
	return r.responding(w, req, rep, answer)
}

// showOne makes the body of one object.
func (r *Reader) showOne(ctx context.Context, rep representation, entry *cache.Entry) (body, error) {
	if rep.table != nil {
		item, err := r.tableOf(ctx, rep.table, entry, true)
		return single{rep.table.around, item, cache.JSON}, err
	}
	item, err := entry.Form(rep.shape.version, rep.encoding)
	return single{rep.shape.item, item, rep.encoding}, err
}

// notFound says what upstream's registry says when its storage has no such key.
func (r *Reader) notFound(w http.ResponseWriter, req *http.Request, info *request.RequestInfo, key string) {
	resource := schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}
	err := storeerr.InterpretGetError(apistorage.NewKeyNotFoundError(key, 0), resource, info.Name)
	responsewriters.ErrorNegotiated(err, r.Scope.Serializer, r.Scope.Kind.GroupVersion(), w, req)
}

// reaches says whether a view is not older than a resourceVersion. It says no to what is none, too.
func reaches(view cache.View, resourceVersion string) bool {
	if resourceVersion == "" || resourceVersion == "0" {
		return true
	}
	revision, err := strconv.ParseUint(resourceVersion, 10, 64)
	return err == nil && revision <= uint64(view.Revision())
}
