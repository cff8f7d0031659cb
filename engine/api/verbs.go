package api

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"gatehouse/engine/api/read"
)

// verb is one thing that can be done with a resource.
type verb struct {
	name string // as discovery spells it; empty for methods that it has no verb for
	// produces are the media types it may answer with, nil for any.
	produces []string
	// anyContent leaves the body's type to the handler: proxies pass it on.
	anyContent bool
	// subpath says that paths below the item are meant, too.
	subpath bool
	serve   http.HandlerFunc
}

// verbs are what a storage supports, by HTTP method and by what the path names.
type verbs struct {
	collection map[string]*verb
	item       map[string]*verb
	// watch and watchList serve the old paths below watch/.
	watch, watchList *verb
}

// names lists the verbs as discovery does.
func (v verbs) names() []string {
	list := []string{}
	add := func(one *verb) {
		if one != nil && one.name != "" {
			list = append(list, one.name)
		}
	}
	for _, one := range v.collection {
		add(one)
	}
	for _, one := range v.item {
		add(one)
	}
	add(v.watch)
	add(v.watchList)
	return sortedUnique(list)
}

// withScope makes a handler of upstream's for one request. It must be made for each: upstream's mutating handlers reassign
// the admission chain that they captured, so that a handler used twice asks it twice, and so on.
func (r *resource) withScope(make func(scope *handlers.RequestScope) http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		scope, err := r.scope()
		if err != nil {
			responsewriters.InternalError(w, request, err)
			return
		}
		if r.warning != "" {
			warning.AddWarning(request.Context(), "", r.warning)
		}
		make(scope)(w, request)
	}
}

func (r *resource) newVerbs(v *version) verbs {
	found := verbs{collection: map[string]*verb{}, item: map[string]*verb{}}
	// What a path names depends on whether there is a name in it: a subresource's path always has one.
	whole := found.collection
	if r.isSubresource() {
		whole = found.item
	}
	objects, withStreams := producedTypes(v)
	metadata, _ := r.storage.(rest.StorageMetadata)
	with := func(method string, types []string) []string {
		if metadata == nil {
			return types
		}
		return append(slices.Clone(metadata.ProducesMIMETypes(method)), types...)
	}

	r.addReads(&found, whole, with, objects, withStreams)
	r.addCreates(whole, with, objects)
	r.addChanges(&found, with, objects)
	r.addDeletes(&found, with, objects)
	r.addConnects(&found)
	return found
}

func (r *resource) isSubresource() bool {
	return strings.Contains(r.name, "/")
}

type producing func(method string, types []string) []string

func (r *resource) addReads(found *verbs, whole map[string]*verb, with producing, objects, withStreams []string) {
	lister, isLister := r.storage.(rest.Lister)
	watcher, isWatcher := r.storage.(rest.Watcher)
	list := func(forceWatch bool) http.HandlerFunc {
		return r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
			upstream := handlers.ListResource(lister, watcher, scope, forceWatch, r.api.config.MinWatchTimeout)
			return r.fromCache(upstream, func(reader *read.Reader) http.HandlerFunc { return reader.List(upstream, forceWatch) })
		})
	}
	if isLister {
		whole[http.MethodGet] = &verb{name: "list", produces: with(http.MethodGet, withStreams), serve: list(false)}
	}
	if isWatcher {
		found.watch = &verb{name: "watch", produces: withStreams, serve: list(true)}
	}
	if isWatcher && isLister {
		found.watchList = &verb{name: "watch", produces: withStreams, serve: list(true)}
	}

	switch getter := r.storage.(type) {
	case rest.GetterWithOptions:
		_, subpath, _ := getter.NewGetOptions()
		found.item[http.MethodGet] = &verb{name: "get", produces: with(http.MethodGet, objects), subpath: subpath,
			serve: r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
				return handlers.GetResourceWithOptions(getter, scope, r.isSubresource())
			})}
	case rest.Getter:
		found.item[http.MethodGet] = &verb{name: "get", produces: with(http.MethodGet, objects),
			serve: r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
				upstream := handlers.GetResource(getter, scope)
				return r.fromCache(upstream, func(reader *read.Reader) http.HandlerFunc { return reader.Get(upstream) })
			})}
	}
}

func (r *resource) addCreates(whole map[string]*verb, with producing, objects []string) {
	var serve http.HandlerFunc
	switch creater := r.storage.(type) {
	case rest.NamedCreater:
		serve = r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
			return handlers.CreateNamedResource(creater, scope, r.api.config.Admission)
		})
	case rest.Creater:
		serve = r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
			return handlers.CreateResource(creater, scope, r.api.config.Admission)
		})
	default:
		return
	}
	whole[http.MethodPost] = &verb{name: "create", produces: with(http.MethodPost, objects), serve: r.api.underWay.noted(serve)}
}

func (r *resource) addChanges(found *verbs, with producing, objects []string) {
	if updater, ok := r.storage.(rest.Updater); ok {
		found.item[http.MethodPut] = &verb{name: "update", produces: with(http.MethodPut, objects),
			serve: r.api.underWay.noted(r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
				return handlers.UpdateResource(updater, scope, r.api.config.Admission)
			}))}
	}
	if patcher, ok := r.storage.(rest.Patcher); ok {
		found.item[http.MethodPatch] = &verb{name: "patch", produces: with(http.MethodPatch, objects),
			serve: r.api.underWay.noted(r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
				return handlers.PatchResource(patcher, scope, r.api.config.Admission, patchTypes)
			}))}
	}
}

func (r *resource) addDeletes(found *verbs, with producing, objects []string) {
	if deleter, ok := r.storage.(rest.GracefulDeleter); ok {
		found.item[http.MethodDelete] = &verb{name: "delete", produces: with(http.MethodDelete, objects),
			serve: r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
				return handlers.DeleteResource(deleter, true, scope, r.api.config.Admission)
			})}
	}
	if deleter, ok := r.storage.(rest.CollectionDeleter); ok && !r.isSubresource() {
		found.collection[http.MethodDelete] = &verb{name: "deletecollection", produces: with(http.MethodDelete, objects),
			serve: r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
				return handlers.DeleteCollection(deleter, true, scope, r.api.config.Admission)
			})}
	}
}

// connectVerbs are the methods of a Connecter as discovery spells them.
var connectVerbs = map[string]string{
	http.MethodGet:    "get",
	http.MethodPost:   "create",
	http.MethodPut:    "update",
	http.MethodPatch:  "patch",
	http.MethodDelete: "delete",
}

func (r *resource) addConnects(found *verbs) {
	connecter, ok := r.storage.(rest.Connecter)
	if !ok {
		return
	}
	_, subpath, _ := connecter.NewConnectOptions()
	for _, method := range connecter.ConnectMethods() {
		found.item[method] = &verb{name: connectVerbs[method], anyContent: true, subpath: subpath,
			serve: r.withScope(func(scope *handlers.RequestScope) http.HandlerFunc {
				return handlers.ConnectResource(connecter, scope, r.api.config.Admission, r.name, r.isSubresource())
			})}
	}
}
