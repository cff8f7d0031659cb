package objects

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"

	"gatehouse/engine/storage"
)

// Stores makes the Stores of all resources on one backend, and finds them again for those who read without asking them. It is
// safe for concurrent use.
type Stores struct {
	decorator generic.StorageDecorator

	mu       sync.Mutex // guards byPrefix
	byPrefix map[string]*Store
}

// NewStores starts with none.
func NewStores(backend storage.Store) *Stores {
	return &Stores{decorator: Decorator(backend), byPrefix: map[string]*Store{}}
}

// Decorate is a generic.StorageDecorator; see Decorator. Registries that share a resource prefix, such as those of events
// in two groups, store the same objects in the same way: any of their Stores stands for all.
func (s *Stores) Decorate(
	config *storagebackend.ConfigForResource,
	resourcePrefix string,
	keyFunc func(runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object,
	attributes apistorage.AttrFunc,
	triggers apistorage.IndexerFuncs,
	indexers *cache.Indexers,
) (apistorage.Interface, factory.DestroyFunc, error) {
	made, destroy, err := s.decorator(config, resourcePrefix, keyFunc, newFunc, newListFunc, attributes, triggers, indexers)
	if store, ok := made.(*Store); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.byPrefix[resourcePrefix] = store
	}
	return made, destroy, err
}

// Find returns the Store of a resource prefix such as "/pods", nil if there is none.
func (s *Stores) Find(resourcePrefix string) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byPrefix[resourcePrefix]
}
