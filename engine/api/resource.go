package api

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/deprecation"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"gatehouse/engine/api/read"
	"gatehouse/engine/catalog"
	kubeversion "gatehouse/engine/version"
)

// resource is one resource or subresource at one version: a storage and the verbs it supports. It is what upstream's
// APIInstaller.registerResourceHandlers makes routes of.
type resource struct {
	api        *API
	name       string // "pods" or "pods/status"
	storage    rest.Storage
	kind       schema.GroupVersionKind
	namespaced bool
	// warning tells clients that the version is deprecated; empty when it is not.
	warning string

	verbs verbs
	// scope is built at first use: most resources of a server are never asked for.
	scope func() (*handlers.RequestScope, error)
	// reader answers reads from the cache; it is nil where the cache has nothing to answer from. Built at first use, too.
	reader func() (*read.Reader, error)
}

func (a *API) newVersion(served catalog.GroupVersion) (*version, error) {
	v := &version{GroupVersion: served, resources: make(map[string]*resource, len(served.Storage))}
	names := make([]string, 0, len(served.Storage))
	for name := range served.Storage {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		r, err := a.newResource(v, name)
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", name, err)
		}
		v.resources[name] = r
		described, err := r.describe(v)
		if err != nil {
			return nil, fmt.Errorf("describe resource %s: %w", name, err)
		}
		v.discovery = append(v.discovery, described)
	}
	return v, nil
}

func (a *API) newResource(v *version, name string) (*resource, error) {
	storage := v.Storage[name]
	parent, subresource, _ := strings.Cut(name, "/")
	kind, err := endpoints.GetResourceKind(v.GroupVersion.GroupVersion, storage, v.Scheme)
	if err != nil {
		return nil, err
	}
	scoper, ok := v.Storage[parent].(rest.Scoper)
	if !ok {
		return nil, fmt.Errorf("the storage of %s, a %T, does not say whether it is namespaced", parent, v.Storage[parent])
	}
	r := &resource{api: a, name: name, storage: storage, kind: kind, namespaced: scoper.NamespaceScoped()}
	if r.warning, err = deprecationWarning(v.Scheme, kind); err != nil {
		return nil, err
	}
	r.scope = sync.OnceValues(func() (*handlers.RequestScope, error) { return r.newScope(v, parent, subresource) })
	r.reader = sync.OnceValues(func() (*read.Reader, error) { return r.newReader(v) })
	r.verbs = r.newVerbs(v)
	a.equivalents.RegisterKindFor(v.WithResource(parent), subresource, kind)
	return r, nil
}

func deprecationWarning(scheme *runtime.Scheme, kind schema.GroupVersionKind) (string, error) {
	object, err := scheme.New(kind)
	if err != nil {
		return "", err
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	major, minor, err := deprecation.MajorMinor(kubeversion.Info())
	if err != nil {
		return "", fmt.Errorf("read our own version: %w", err)
	}
	if !deprecation.IsDeprecated(object, major, minor) {
		return "", nil
	}
	return deprecation.WarningMessage(object), nil
}

// newScope gathers what upstream's handlers need to know of a resource.
func (r *resource) newScope(v *version, parent, subresource string) (*handlers.RequestScope, error) {
	tables, _ := r.storage.(rest.TableConvertor)
	acceptor, _ := r.storage.(rest.GroupVersionAcceptor)
	scope := &handlers.RequestScope{
		Namer: handlers.ContextBasedNaming{
			Namer:         runtime.Namer(meta.NewAccessor()),
			ClusterScoped: !r.namespaced,
		},
		Serializer:                  v.Codecs,
		ParameterCodec:              v.ParameterCodec,
		Creater:                     v.Scheme,
		Convertor:                   v.Scheme,
		Defaulter:                   v.Scheme,
		Typer:                       v.Scheme,
		UnsafeConvertor:             runtime.UnsafeObjectConvertor(v.Scheme),
		Authorizer:                  r.api.config.Authorizer,
		EquivalentResourceMapper:    r.api.equivalents,
		TableConvertor:              tables,
		Resource:                    v.WithResource(parent),
		Subresource:                 subresource,
		Kind:                        r.kind,
		AcceptsGroupVersionDelegate: acceptor,
		HubGroupVersion:             schema.GroupVersion{Group: r.kind.Group, Version: runtime.APIVersionInternal},
		MetaGroupVersion:            metav1.SchemeGroupVersion,
		MaxRequestBodyBytes:         r.api.config.MaxBodyBytes,
	}
	converter, err := r.api.config.TypeConverter(v.GroupVersion.GroupVersion)
	if err != nil {
		return nil, fmt.Errorf("load the schema of %s: %w", v.GroupVersion, err)
	}
	scope.FieldManager, err = managedfields.NewDefaultFieldManager(converter, scope.UnsafeConvertor, scope.Defaulter, scope.Creater,
		r.kind, scope.HubGroupVersion, subresource, r.resetFields())
	if err != nil {
		return nil, fmt.Errorf("track the field owners of %s %s: %w", v.GroupVersion, r.name, err)
	}
	return scope, nil
}

// resetFields are those that a write through this resource does not own because its strategy ignores them: status for most
// resources, all but status for status subresources.
func (r *resource) resetFields() map[fieldpath.APIVersion]fieldpath.Filter {
	switch strategy := r.storage.(type) {
	case rest.ResetFieldsStrategy:
		return fieldpath.NewExcludeFilterSetMap(strategy.GetResetFields())
	case rest.ResetFieldsFilterStrategy:
		return strategy.GetResetFieldsFilter()
	}
	return nil
}

// describe is the resource's entry in discovery.
func (r *resource) describe(v *version) (metav1.APIResource, error) {
	described := metav1.APIResource{
		Name:       r.name,
		Namespaced: r.namespaced,
		Kind:       r.kind.Kind,
		Verbs:      r.verbs.names(),
	}
	if provider, ok := r.storage.(rest.KindProvider); ok {
		described.Kind = provider.Kind()
	}
	if provider, ok := r.storage.(rest.GroupVersionKindProvider); ok {
		kind := provider.GroupVersionKind(v.GroupVersion.GroupVersion)
		described.Group, described.Version, described.Kind = kind.Group, kind.Version, kind.Kind
	}
	if provider, ok := r.storage.(rest.ShortNamesProvider); ok {
		described.ShortNames = provider.ShortNames()
	}
	if provider, ok := r.storage.(rest.CategoriesProvider); ok {
		described.Categories = provider.Categories()
	}
	if provider, ok := r.storage.(rest.SingularNameProvider); ok && !strings.Contains(r.name, "/") {
		described.SingularName = provider.GetSingularName()
	}
	if provider, ok := r.storage.(rest.StorageVersionProvider); ok && provider.StorageVersion() != nil {
		kinds, _, err := v.Scheme.ObjectKinds(r.storage.New())
		if err != nil {
			return described, err
		}
		stored, ok := provider.StorageVersion().KindForGroupVersionKinds(kinds)
		if !ok {
			return described, fmt.Errorf("no storage version among %v", kinds)
		}
		described.StorageVersionHash = discovery.StorageVersionHash(stored.Group, stored.Version, stored.Kind)
	}
	return described, nil
}

// hasSubpath says whether paths below the item are the resource's own, as with proxies.
func (r *resource) hasSubpath() bool {
	if connecter, ok := r.storage.(rest.Connecter); ok {
		_, has, _ := connecter.NewConnectOptions()
		return has
	}
	if getter, ok := r.storage.(rest.GetterWithOptions); ok {
		_, has, _ := getter.NewGetOptions()
		return has
	}
	return false
}

// verb finds what a method means at a route, nil if nothing.
func (r *resource) verb(rt route, method string) *verb {
	if rt.watch {
		if method != http.MethodGet {
			return nil
		}
		if rt.target == item {
			return r.verbs.watch
		}
		return r.verbs.watchList
	}
	switch rt.target {
	case collection:
		return r.verbs.collection[method]
	case allNamespaces:
		if method == http.MethodGet {
			return r.verbs.collection[method]
		}
	case item:
		return r.verbs.item[method]
	case subpath:
		if v := r.verbs.item[method]; v != nil && v.subpath {
			return v
		}
	}
	return nil
}

// answers says whether any method means anything at a route. Where none does, upstream has no route either.
func (r *resource) answers(rt route) bool {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if r.verb(rt, method) != nil {
			return true
		}
	}
	return false
}

// sortedUnique is names in order, each once.
func sortedUnique(names []string) []string {
	sort.Strings(names)
	return slices.Compact(names)
}
