package api

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/api/read"
	"gatehouse/engine/objects/cache"
)

// StoredKind is a kind whose objects the server stores.
type StoredKind struct {
	// Kind and Resource are in the version that the group prefers of those in which the kind is served.
	Kind     schema.GroupVersionKind
	Resource schema.GroupVersionResource
	// Versions are all in which it is served, the preferred one first.
	Versions []string
	// Verbs are those of the resource in the preferred version.
	Verbs      []string
	Namespaced bool
	// Collection holds the objects. Prefix is what comes before namespace/name, or the name, in their keys; it ends with a slash.
	Collection *cache.Collection
	Prefix     string
}

// StoredKinds lists what the server stores, each resource of each group once, in the catalog's order. It builds nothing that
// reading a kind would need and looking at it does not.
func (a *API) StoredKinds() []StoredKind {
	var kinds []StoredKind
	at := map[schema.GroupResource]int{}
	for _, v := range a.order {
		for _, described := range v.discovery {
			if strings.Contains(described.Name, "/") {
				continue
			}
			resource := v.WithResource(described.Name)
			if known, again := at[resource.GroupResource()]; again {
				kinds[known].Versions = append(kinds[known].Versions, v.Version)
				continue
			}
			r := v.resources[described.Name]
			stored, ok := r.stored(v)
			if !ok {
				continue
			}
			at[resource.GroupResource()] = len(kinds)
			kinds = append(kinds, StoredKind{
				Kind: r.kind, Resource: resource, Versions: []string{v.Version}, Verbs: slices.Clone(described.Verbs), Namespaced: r.namespaced,
				Collection: read.NewCollection(a.config.Cache, stored), Prefix: stored.Prefix + "/",
			})
		}
	}
	return kinds
}
