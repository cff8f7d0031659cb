// Package discovery tells clients which API groups, versions and resources there are: /api, /apis and what is directly below
// them, in the legacy and the aggregated form, and /version. It knows resources only by their description; engine/api serves them.
//
// Answers are upstream's, in the order that kube-apiserver has with its aggregator in front. They are rendered when somebody
// asks. Group versions can come and go while the server runs, as custom resources and aggregated APIs do.
package discovery

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
)

// GroupVersion describes one served group version.
type GroupVersion struct {
	schema.GroupVersion
	// Resources and subresources, such as "pods" and "pods/status", in the order in which clients are to see them; upstream
	// sorts them by name. They are not changed and must not be.
	Resources []metav1.APIResource
	// Priority places the group version among the others. Built-in ones need none: zero stands for kube-apiserver's own
	// priority, and for that of custom resources where kube-apiserver does not know the group version.
	Priority Priority
}

// Handler serves discovery. It is safe for concurrent use.
type Handler struct {
	responder responder

	core             http.Handler // at /api
	aggregatedCore   aggregated.ResourceManager
	groups           http.Handler // at /apis
	aggregatedGroups aggregated.ResourceManager

	mu       sync.RWMutex // guards all below
	versions map[schema.GroupVersion]served
	// list is the answer at /apis, groups within it by name those below; made anew with each change, never changed.
	list   *metav1.APIGroupList
	byName map[string]*metav1.APIGroup
}

// served is a group version and its answer at /api/<version> or /apis/<group>/<version>.
type served struct {
	GroupVersion
	handler http.Handler
}

// New makes the Handler of these group versions. addresses says under which addresses a client may reach the server.
func New(addresses discovery.Addresses, versions []GroupVersion) (*Handler, error) {
	h := &Handler{
		responder:        newResponder(),
		aggregatedCore:   aggregated.NewResourceManager("api"),
		aggregatedGroups: aggregated.NewResourceManager("apis"),
		versions:         map[schema.GroupVersion]served{},
	}
	legacy := discovery.NewLegacyRootAPIHandler(addresses, h.responder.codecs, "/api")
	h.core = h.responder.onlyGet(aggregated.WrapAggregatedDiscoveryToHandler(legacy, h.aggregatedCore, nil))
	h.groups = aggregated.WrapAggregatedDiscoveryToHandler(http.HandlerFunc(h.serveGroups), h.aggregatedGroups, nil)
	for _, version := range versions {
		if err := h.add(version); err != nil {
			return nil, err
		}
	}
	h.regroup()
	return h, nil
}

// Set adds a group version, or replaces what is known of it.
func (h *Handler) Set(version GroupVersion) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.add(version); err != nil {
		return err
	}
	h.regroup()
	return nil
}

// add is Set but for the list of groups. The caller holds mu, or has the Handler for itself.
func (h *Handler) add(version GroupVersion) error {
	resources, err := endpoints.ConvertGroupVersionIntoToDiscovery(version.Resources)
	if err != nil {
		return fmt.Errorf("describe the resources of %s for aggregated discovery: %w", version.GroupVersion, err)
	}
	if version.Priority == (Priority{}) {
		version.Priority = defaultPriority(version.GroupVersion)
	}
	manager := h.manager(version.GroupVersion)
	manager.AddGroupVersion(version.Group, apidiscoveryv2.APIVersionDiscovery{
		Version:   version.Version,
		Resources: resources,
		Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
	})
	manager.SetGroupVersionPriority(metav1.GroupVersion(version.GroupVersion), int(version.Priority.Group), int(version.Priority.Version))

	list := func() []metav1.APIResource { return version.Resources }
	h.versions[version.GroupVersion] = served{
		GroupVersion: version,
		handler: h.responder.onlyGet(discovery.NewAPIVersionHandler(h.responder.codecs, version.GroupVersion,
			discovery.APIResourceListerFunc(list))),
	}
	return nil
}

// Remove forgets a group version; it is no error when it is not known.
func (h *Handler) Remove(version schema.GroupVersion) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.versions, version)
	h.manager(version).RemoveGroupVersion(metav1.GroupVersion(version))
	h.regroup()
}

func (h *Handler) manager(version schema.GroupVersion) aggregated.ResourceManager {
	if version.Group == "" {
		return h.aggregatedCore
	}
	return h.aggregatedGroups
}

// regroup makes the groups anew. The caller holds mu, or has the Handler for itself.
func (h *Handler) regroup() {
	h.list = groupList(slices.Collect(maps.Values(h.versions)))
	h.byName = make(map[string]*metav1.APIGroup, len(h.list.Groups))
	for i := range h.list.Groups {
		group := &h.list.Groups[i]
		h.byName[group.Name] = group
	}
}

// Handles says whether a path is this Handler's to answer: /api, /apis, a served group or a served group version, with or
// without a slash at the end.
func (h *Handler) Handles(path string) bool { return h.find(path) != nil }

// Paths lists the paths handled, without slashes at their ends, in order.
func (h *Handler) Paths() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	paths := []string{"/api", "/apis"}
	for name := range h.byName {
		paths = append(paths, "/apis/"+name)
	}
	for version := range h.versions {
		if version.Group == "" {
			paths = append(paths, "/api/"+version.Version)
		} else {
			paths = append(paths, "/apis/"+version.String())
		}
	}
	slices.Sort(paths)
	return paths
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler := h.find(r.URL.Path)
	if handler == nil {
		http.NotFound(w, r)
		return
	}
	handler.ServeHTTP(w, r)
}

// find returns what answers at a path, nil if nothing does.
func (h *Handler) find(path string) http.Handler {
	segments := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	switch {
	case len(segments) == 1 && segments[0] == "api":
		return h.core
	case len(segments) == 1 && segments[0] == "apis":
		return h.groups
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	switch {
	case len(segments) == 2 && segments[0] == "api":
		return h.versions[schema.GroupVersion{Version: segments[1]}].handler
	case len(segments) == 2 && segments[0] == "apis":
		if group := h.byName[segments[1]]; group != nil {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.responder.write(group, w, r) })
		}
	case len(segments) == 3 && segments[0] == "apis" && segments[1] != "":
		return h.versions[schema.GroupVersion{Group: segments[1], Version: segments[2]}].handler
	}
	return nil
}

// serveGroups answers at /apis in the legacy form.
func (h *Handler) serveGroups(w http.ResponseWriter, r *http.Request) {
	h.mu.RLock()
	list := h.list
	h.mu.RUnlock()
	h.responder.write(list, w, r)
}
