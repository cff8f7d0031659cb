package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/emicklei/go-restful/v3"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"

	"gatehouse/engine/pluginapi"
	pluginopenapi "gatehouse/engine/pluginapi/v1alpha1/openapi"
)

// own are the documents of groups that are not Kubernetes'.
type own struct {
	// v3 are documents by path.
	v3 map[string]*spec3.OpenAPI
	// v2 is all of them in one.
	v2 *spec.Swagger
}

const bearerToken = "BearerToken"

// newOwn makes the documents the way that kube-apiserver makes its own, with its code: of the routes that it would give the storages.
func newOwn(version string) (own, error) {
	info, err := pluginapi.Provider{}.NewRESTStorage(nil, nil)
	if err != nil {
		return own{}, err
	}
	definitions := func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
		all := generatedopenapi.GetOpenAPIDefinitions(ref)
		// Types of other packages come by their Go names here, and by those of their definitions in kube-apiserver.
		byModel := func(name string) spec.Ref { return ref(modelName(name)) }
		for name, definition := range pluginopenapi.GetOpenAPIDefinitions(byModel) {
			for i := range definition.Dependencies {
				definition.Dependencies[i] = modelName(definition.Dependencies[i])
			}
			all[name] = definition
		}
		return all
	}
	namer := openapi.NewDefinitionNamer(info.Scheme)
	config := genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	config.Info = &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: version}}
	config.SecurityDefinitions = &spec.SecurityDefinitions{bearerToken: {SecuritySchemeProps: spec.SecuritySchemeProps{
		Type: "apiKey", Name: "authorization", In: "header", Description: "Bearer Token authentication"}}}
	config.DefaultSecurity = []map[string][]string{{bearerToken: {}}}
	config.CommonResponses = map[int]spec.Response{
		http.StatusUnauthorized: {ResponseProps: spec.ResponseProps{Description: "Unauthorized"}}}
	config3 := genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	config3.Info = config.Info
	config3.SecuritySchemes = spec3.SecuritySchemes{bearerToken: {SecuritySchemeProps: spec3.SecuritySchemeProps{
		Type: "apiKey", Name: "authorization", In: "header", Description: "Bearer Token authentication"}}}
	config3.DefaultSecurity = config.DefaultSecurity
	config3.CommonResponses = map[int]*spec3.Response{
		http.StatusUnauthorized: {ResponseProps: spec3.ResponseProps{Description: "Unauthorized"}}}

	services, err := servicesOf(info)
	if err != nil {
		return own{}, err
	}
	o := own{v3: map[string]*spec3.OpenAPI{}}
	for path, service := range services {
		document, err := builder3.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices([]*restful.WebService{service}), config3)
		if err != nil {
			return own{}, fmt.Errorf("describe %s: %w", path, err)
		}
		if o.v3[path], err = plainly(document); err != nil {
			return own{}, fmt.Errorf("describe %s: %w", path, err)
		}
	}
	o.v2, err = builder.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(slices.Collect(maps.Values(services))), config)
	return o, err
}

// modelName is what kube-apiserver calls the definition of a Go type; what is no Go type's name stays.
func modelName(name string) string {
	if strings.Contains(name, "/") {
		return util.ToRESTFriendlyName(name)
	}
	return name
}

// plainly is a document as it is read from JSON, which the published ones are: what is compared with theirs has the same types.
func plainly(document *spec3.OpenAPI) (*spec3.OpenAPI, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	plain := &spec3.OpenAPI{}
	return plain, json.Unmarshal(text, plain)
}

// servicesOf makes the routes of a group, by the paths of their documents.
func servicesOf(info genericapiserver.APIGroupInfo) (map[string]*restful.WebService, error) {
	group := metav1.APIGroup{Name: info.PrioritizedVersions[0].Group}
	services := map[string]*restful.WebService{}
	for _, version := range info.PrioritizedVersions {
		served := metav1.GroupVersionForDiscovery{GroupVersion: version.String(), Version: version.Version}
		if group.Versions = append(group.Versions, served); len(group.Versions) == 1 {
			group.PreferredVersion = served
		}
		container := restful.NewContainer()
		installer := &endpoints.APIGroupVersion{
			Storage: info.VersionedResourcesStorageMap[version.Version], Root: "/apis", GroupVersion: version,
			Serializer: info.NegotiatedSerializer, ParameterCodec: info.ParameterCodec,
			Typer: info.Scheme, Creater: info.Scheme, Convertor: info.Scheme, ConvertabilityChecker: info.Scheme, Defaulter: info.Scheme,
			UnsafeConvertor: runtime.UnsafeObjectConvertor(info.Scheme), Namer: runtime.Namer(meta.NewAccessor()),
			TypeConverter:              managedfields.NewDeducedTypeConverter(),
			EquivalentResourceRegistry: runtime.NewEquivalentResourceRegistry(),
		}
		if _, _, err := installer.InstallREST(container); err != nil {
			return nil, fmt.Errorf("make the routes of %s: %w", version, err)
		}
		services["apis/"+version.String()] = container.RegisteredWebServices()[0]
	}
	services["apis/"+group.Name] = discovery.NewAPIGroupHandler(info.NegotiatedSerializer, group).WebService()
	return services, nil
}
