package objects

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/registry/generic"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"

	"gatehouse/engine/storage"
)

// Decorator is what upstream's registries ask for in generic.RESTOptions to get a Store on backend. Of the storage
// configuration it uses Prefix, Codec, Transformer and GroupResource, and none of what concerns etcd. The stores hold nothing
// that needs to be destroyed: the backend outlives them, and watches end with their contexts or with the backend.
func Decorator(backend storage.Store) generic.StorageDecorator {
	return func(
		config *storagebackend.ConfigForResource,
		resourcePrefix string,
		_ func(obj runtime.Object) (string, error),
		newFunc, newListFunc func() runtime.Object,
		attributes apistorage.AttrFunc,
		indexers apistorage.IndexerFuncs,
		_ *cache.Indexers,
	) (apistorage.Interface, factory.DestroyFunc, error) {
		c := Config{
			Backend:        backend,
			Codec:          config.Codec,
			Transformer:    config.Transformer,
			Prefix:         config.Prefix,
			ResourcePrefix: resourcePrefix,
			GroupResource:  config.GroupResource,
			NewObject:      newFunc,
			NewList:        newListFunc,
			Attributes:     attributes,
			Indexed:        slices.Sorted(maps.Keys(indexers)),
		}
		if utilfeature.DefaultFeatureGate.Enabled(features.AllowUnsafeMalformedObjectDeletion) {
			c = c.tellingCorruption()
		}
		store, err := New(c)
		if err != nil {
			return nil, nil, err
		}
		store.estimateSizes.Store(utilfeature.DefaultFeatureGate.Enabled(features.SizeBasedListCostEstimate))
		return store, func() {}, nil
	}
}

// tellingCorruption makes unreadable objects known as such, so that they can be deleted unread.
func (c Config) tellingCorruption() Config {
	if c.Transformer == nil {
		c.Transformer = identity.NewEncryptCheckTransformer()
	}
	c.Transformer = corruptionTransformer{c.Transformer}
	c.Codec = corruptionCodec{c.Codec}
	return c
}
