package catalog

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	serveroptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/kubernetes/pkg/kubeapiserver"
)

const (
	// keyPrefix is where upstream keeps its objects in etcd, too: the layout is kept so that data can move between the two.
	keyPrefix = "/registry"
	// deleteCollectionWorkers is upstream's default of --delete-collection-workers.
	deleteCollectionWorkers = 1
)

// restOptions tells upstream's registries how and where to store: in which version and encoding, as upstream decides it, and
// through decorator, as we do.
type restOptions struct {
	factory   *serverstorage.DefaultStorageFactory
	decorator generic.StorageDecorator
}

func newRESTOptions(decorator generic.StorageDecorator, versions *serverstorage.ResourceConfig) (restOptions, error) {
	config := kubeapiserver.NewStorageFactoryConfig()
	config.APIResourceConfig = versions
	factory, err := config.Complete(&serveroptions.EtcdOptions{
		StorageConfig:           *storagebackend.NewDefaultConfig(keyPrefix, nil),
		DefaultStorageMediaType: runtime.ContentTypeProtobuf,
	}).New()
	if err != nil {
		return restOptions{}, fmt.Errorf("decide storage versions: %w", err)
	}
	return restOptions{factory: factory, decorator: decorator}, nil
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (o restOptions) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	config, err := o.factory.NewConfig(resource, example)
	if err != nil {
		return generic.RESTOptions{}, fmt.Errorf("decide how %s is stored: %w", resource, err)
	}
	return generic.RESTOptions{
		StorageConfig:           config,
		Decorator:               o.decorator,
		DeleteCollectionWorkers: deleteCollectionWorkers,
		EnableGarbageCollection: true,
		ResourcePrefix:          o.factory.ResourcePrefix(resource),
		// No CountMetricPollPeriod: it would start a goroutine for each resource, to count what the store can be asked for.
	}, nil
}
