// Package api turns the kinds of a catalog into HTTP: it finds the resource that a path names, checks what go-restful would
// have checked, and hands over to upstream's handlers, which decode, admit, convert and answer.
//
// The gates stand before it, in engine/server.go; request info, user and deadline are expected in the request's context.
package api

import (
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"gatehouse/engine/api/discovery"
	"gatehouse/engine/api/read"
	"gatehouse/engine/catalog"
	"gatehouse/engine/objects"
	"gatehouse/engine/objects/cache"
)

// Config is what the API needs from the server around it.
type Config struct {
	Catalog    *catalog.Catalog
	Authorizer authorizer.Authorizer
	// Admission is asked by every write, after decoding and before storing.
	Admission admission.Interface
	// TypeConverter knows the schema of a group version's kinds, for managedFields. It is asked at a kind's first write.
	TypeConverter func(schema.GroupVersion) (managedfields.TypeConverter, error)
	// MaxBodyBytes bounds the body of a write.
	MaxBodyBytes int64
	// MinWatchTimeout is the least time that a watch stays open when the client asks for no timeoutSeconds; each gets between
	// one and two of these, so that clients do not all come back at once.
	MinWatchTimeout time.Duration
	// Cache answers reads of what Stores store. nil leaves all reads to upstream's handlers.
	Cache  *cache.Cache
	Stores *objects.Stores
	// Reads counts who answers reads; optional.
	Reads *read.Counts
}

// API serves /api/<version> and /apis/<group>/<version>, safe for concurrent use.
type API struct {
	config Config
	// versions by root path, such as "api/v1" or "apis/apps/v1"; groups holds "apis/apps".
	versions map[string]*version
	groups   map[string]bool
	order    []*version

	equivalents runtime.EquivalentResourceRegistry
	underWay    underWay
}

// version is one served group version.
type version struct {
	catalog.GroupVersion
	resources map[string]*resource
	discovery []metav1.APIResource
}

// New builds the API of everything in the catalog.
func New(config Config) (*API, error) {
	a := &API{
		config:   config,
		versions: map[string]*version{},
		groups:   map[string]bool{},
		// Resources stored at one place are one resource, whatever group or version they are asked for in.
		equivalents: runtime.NewEquivalentResourceRegistryWithIdentity(config.Catalog.Factory.ResourcePrefix),
	}
	for _, group := range config.Catalog.Groups {
		if group.Name != "" {
			a.groups["apis/"+group.Name] = true
		}
		for _, served := range group.Versions {
			v, err := a.newVersion(served)
			if err != nil {
				return nil, fmt.Errorf("serve %s: %w", served.GroupVersion, err)
			}
			a.versions[root(served.GroupVersion)] = v
			a.order = append(a.order, v)
		}
	}
	return a, nil
}

func root(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

// Versions is what discovery tells of each group version, in the catalog's order.
func (a *API) Versions() []discovery.GroupVersion {
	list := make([]discovery.GroupVersion, len(a.order))
	for i, v := range a.order {
		list[i] = discovery.GroupVersion{GroupVersion: v.GroupVersion.GroupVersion, Resources: v.discovery}
	}
	return list
}

// Namespaced lists what can be in a namespace, each resource once, in the version its group prefers.
func (a *API) Namespaced() ([]*metav1.APIResourceList, error) {
	var lists []*metav1.APIResourceList
	for _, group := range a.config.Catalog.Groups {
		v := a.versions[root(group.Versions[0].GroupVersion)]
		list := &metav1.APIResourceList{GroupVersion: v.GroupVersion.String()}
		for _, resource := range v.discovery {
			if resource.Namespaced {
				list.APIResources = append(list.APIResources, resource)
			}
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// version finds the group version at the head of a path, and how many segments name it.
func (a *API) version(segments []string) (*version, int) {
	switch {
	case len(segments) >= 2 && segments[0] == "api":
		return a.versions["api/"+segments[1]], 2
	case len(segments) >= 3 && segments[0] == "apis":
		return a.versions["apis/"+segments[1]+"/"+segments[2]], 3
	}
	return nil, 0
}

// owns says whether a path lies below /api or a served group.
func (a *API) owns(segments []string) bool {
	return len(segments) >= 2 && (segments[0] == "api" || a.groups[segments[0]+"/"+segments[1]])
}

// ServeHTTP implements http.Handler. What lies below /api or a served group is answered in Kubernetes' own terms, if only that it is
// not there; any other path is a plain 404, as from upstream.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segments := split(r.URL.Path)
	v, depth := a.version(segments)
	if v == nil {
		if a.owns(segments) {
			NotFound(w, r)
		} else {
			http.NotFound(w, r)
		}
		return
	}
	found := v.route(segments[depth:])
	if found.resource == nil {
		NotFound(w, r)
		return
	}
	found.serve(w, r)
}
