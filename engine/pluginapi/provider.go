package pluginapi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"

	"gatehouse/engine/pluginapi/v1alpha1"
	"gatehouse/plugins"
)

// Provider makes the storages of the group, as upstream's RESTStorageProviders do for theirs.
type Provider struct {
	// Plugins are those that the group tells of.
	Plugins *plugins.Set
	// Authorizer tells who may see credentials.
	Authorizer authorizer.Authorizer
}

// GroupName is the name of the group.
func (p Provider) GroupName() string { return v1alpha1.SchemeGroupVersion.Group }

// NewRESTStorage makes the storages. Neither argument matters: nothing is stored, and there is one version.
func (p Provider) NewRESTStorage(serverstorage.APIResourceConfigSource, generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	scheme := newScheme()
	board := newBoard(p.Plugins)
	return genericapiserver.APIGroupInfo{
		PrioritizedVersions: []schema.GroupVersion{v1alpha1.SchemeGroupVersion},
		VersionedResourcesStorageMap: map[string]map[string]rest.Storage{
			v1alpha1.SchemeGroupVersion.Version: {
				"plugins":                       &storage{board: board},
				"plugins/" + ReviewsSubresource: &reviews{plugins: p.Plugins, authorizer: p.Authorizer},
			},
		},
		Scheme:               scheme,
		ParameterCodec:       runtime.NewParameterCodec(scheme),
		NegotiatedSerializer: newSerializer(scheme),
	}, nil
}

// newScheme knows the group's kinds, and those by which every group answers.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme)) // it fails for two kinds of one name, which depends on nothing but the code
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return scheme
}

// newSerializer writes JSON, YAML and, where kube-apiserver does, CBOR. As with custom resources there is no protobuf of the objects.
func newSerializer(scheme *runtime.Scheme) runtime.NegotiatedSerializer {
	return withoutProtobuf{serializer.NewCodecFactory(scheme)}
}

// withoutProtobuf is a serializer that leaves protobuf out: a client that accepts it and something else is answered with the latter.
type withoutProtobuf struct{ runtime.NegotiatedSerializer }

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (s withoutProtobuf) SupportedMediaTypes() []runtime.SerializerInfo {
	var types []runtime.SerializerInfo
	for _, info := range s.NegotiatedSerializer.SupportedMediaTypes() {
		if info.MediaType != runtime.ContentTypeProtobuf {
			types = append(types, info)
		}
	}
	return types
}
