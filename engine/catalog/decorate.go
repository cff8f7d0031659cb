package catalog

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	pvcstore "k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim/storage"
	servicestore "k8s.io/kubernetes/pkg/registry/core/service/storage"
)

// DecorateOnRead is what a storage does to each object that it reads before anybody sees it; nil for almost all. A test
// holds reads of every kind that go around the storage against reads through it.
func DecorateOnRead(storage rest.Storage) func(runtime.Object) {
	switch s := storage.(type) {
	case *servicestore.REST:
		return s.Decorator
	case *pvcstore.REST:
		return s.Decorator
	default:
		return nil
	}
}
