package api

import (
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// target is what a path names below a group version.
type target int

const (
	collection    target = iota // pods, or namespaces/x/pods
	allNamespaces               // pods, of all namespaces: read only
	item                        // pods/y, or a subresource of it
	subpath                     // below an item: only proxies have such
)

// route is a path resolved.
type route struct {
	resource *resource // nil when there is none
	target   target
	// watch says that the path is of the old form watch/..., which watches whatever its query says.
	watch bool
}

// patchTypes are the content types a PATCH may have.
var patchTypes = []string{
	string(types.JSONPatchType),
	string(types.MergePatchType),
	string(types.StrategicMergePatchType),
	string(types.ApplyYAMLPatchType),
}

// split cuts a path into its segments. Slashes at the end do not count; a second one at the front makes a first segment that is
// empty, and names nothing.
func split(path string) []string {
	return strings.Split(strings.TrimRight(strings.TrimPrefix(path, "/"), "/"), "/")
}

// route resolves the segments below a group version the way upstream's routes are registered: a fixed word wins over a
// name, and a cluster-scoped resource is never found below a namespace.
func (v *version) route(segments []string) route {
	watch := false
	if len(segments) > 1 && segments[0] == "watch" {
		watch, segments = true, segments[1:]
	}
	if len(segments) == 0 {
		return route{}
	}
	if segments[0] == "namespaces" && len(segments) >= 3 {
		if r := v.resources[segments[2]]; r != nil && r.namespaced {
			return v.below(r, segments[3:], collection, watch)
		}
	}
	r := v.resources[segments[0]]
	switch {
	case r == nil:
		return route{}
	case !r.namespaced:
		return v.below(r, segments[1:], collection, watch)
	case len(segments) == 1:
		return route{resource: r, target: allNamespaces, watch: watch}
	default:
		return route{} // a namespaced item without its namespace
	}
}

// below resolves what follows the resource: nothing, a name, a subresource, a path.
func (v *version) below(r *resource, rest []string, whole target, watch bool) route {
	switch {
	case len(rest) == 0:
		return route{resource: r, target: whole, watch: watch}
	case len(rest) == 1:
		return route{resource: r, target: item, watch: watch}
	case watch:
		return route{} // subresources cannot be watched
	}
	sub := v.resources[r.name+"/"+rest[1]]
	switch {
	case sub == nil:
		return route{}
	case len(rest) == 2:
		return route{resource: sub, target: item}
	case sub.hasSubpath():
		return route{resource: sub, target: subpath}
	default:
		return route{}
	}
}

// serve answers with the verb that the method means here, or says in go-restful's order what does not fit: method, content
// type, accepted types.
func (rt route) serve(w http.ResponseWriter, r *http.Request) {
	verb := rt.resource.verb(rt, r.Method)
	if verb == nil {
		if rt.resource.answers(rt) {
			fail(http.StatusMethodNotAllowed, "405: Method Not Allowed", w, r)
		} else {
			NotFound(w, r)
		}
		return
	}
	if r.Method == http.MethodPatch && !verb.anyContent && !slices.Contains(patchTypes, mediaType(r.Header.Get("Content-Type"))) {
		fail(http.StatusUnsupportedMediaType, "415: Unsupported Media Type", w, r)
		return
	}
	if produces := verb.produces; produces != nil && !accepts(r.Header.Get("Accept"), produces) {
		fail(http.StatusNotAcceptable, "406: Not Acceptable\n\nAvailable representations: "+strings.Join(produces, ", "), w, r)
		return
	}
	verb.serve(w, r)
}

// mediaType is the first type in a Content-Type header, without its parameters.
func mediaType(header string) string {
	header, _, _ = strings.Cut(header, ",")
	header, _, _ = strings.Cut(header, ";")
	return strings.TrimSpace(header)
}

// accepts says whether an Accept header names one of the types produced.
func accepts(header string, produced []string) bool {
	if header == "" {
		return true
	}
	for header != "" {
		var one string
		one, header, _ = strings.Cut(header, ",")
		one, _, _ = strings.Cut(one, ";")
		if one = strings.TrimSpace(one); one == "*/*" || slices.Contains(produced, one) {
			return true
		}
	}
	return false
}

// NotFound answers as upstream does below paths that are the API's own, when there is nothing.
func NotFound(w http.ResponseWriter, r *http.Request) {
	fail(http.StatusNotFound, "404: Page Not Found", w, r)
}

// fail answers what upstream's router answers before any resource is involved.
func fail(code int, message string, w http.ResponseWriter, r *http.Request) {
	err := apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", message, 0, false)
	responsewriters.ErrorNegotiated(err, legacyscheme.Codecs, schema.GroupVersion{}, w, r)
}

// producedTypes are the media types that a serializer can write: for single objects, and with those of streams.
func producedTypes(v *version) (objects, withStreams []string) {
	objects, streams := negotiation.MediaTypesForSerializer(v.Codecs)
	return objects, append(slices.Clone(objects), streams...)
}
