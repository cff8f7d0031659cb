package openapi_test

import (
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientdiscovery "k8s.io/client-go/discovery"
	clientopenapi "k8s.io/client-go/openapi"
	"k8s.io/client-go/openapi/cached"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/rest"
	"k8s.io/kube-openapi/pkg/spec3"

	"gatehouse/engine/api/discovery/discoverytest"
	"gatehouse/engine/api/openapi"
)

func newClient(t *testing.T) *clientdiscovery.DiscoveryClient {
	t.Helper()
	server := httptest.NewServer(newService(t))
	t.Cleanup(server.Close)
	return clientdiscovery.NewDiscoveryClientForConfigOrDie(&rest.Config{Host: server.URL})
}

// TestClientReadsV2 asks as kubectl did before there was v3, and some tools still do.
func TestClientReadsV2(t *testing.T) {
	document, err := newClient(t).OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	if document.Info.Title != "Kubernetes" || document.Info.Version != "1.37" {
		t.Errorf("got %v", document.Info)
	}
	found := false
	for _, definition := range document.Definitions.AdditionalProperties {
		found = found || definition.Name == "io.k8s.api.apps.v1.Deployment"
	}
	if !found {
		t.Error("Deployment is not defined")
	}
}

// TestClientExplains reads what kubectl explain and kubectl's check for server-side field validation read.
func TestClientExplains(t *testing.T) {
	root := openapi3.NewRoot(cached.NewClient(newClient(t).OpenAPIV3()))
	versions, err := root.GroupVersions()
	if err != nil {
		t.Fatal(err)
	}
	var want []schema.GroupVersion
	for _, version := range discoverytest.Default(t, "apiextensions.k8s.io", "apiregistration.k8s.io") {
		want = append(want, version.GroupVersion)
	}
	want = append(want, schema.GroupVersion{Group: "plugins.gatehouse.dev", Version: "v1alpha1"})
	byName := func(a, b schema.GroupVersion) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(want, byName)
	slices.SortFunc(versions, byName)
	if diff := cmp.Diff(want, versions); diff != "" {
		t.Errorf("group versions lacking (-) or too many (+):\n%s", diff)
	}

	document, err := root.GVSpec(schema.GroupVersion{Group: "apps", Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	create := document.Paths.Paths["/apis/apps/v1/namespaces/{namespace}/deployments"].Post
	if !slices.ContainsFunc(create.Parameters, func(p *spec3.Parameter) bool { return p.Name == "fieldValidation" }) {
		t.Error("deployments do not say that they take fieldValidation")
	}
	container := document.Components.Schemas["io.k8s.api.core.v1.Container"]
	if diff := cmp.Diff([]any{"Always", "IfNotPresent", "Never"}, container.Properties["imagePullPolicy"].Enum); diff != "" {
		t.Errorf("values of imagePullPolicy:\n%s", diff)
	}
}

func TestClientReadsEveryV3DocumentInBothForms(t *testing.T) {
	paths, err := newClient(t).OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	for path, version := range paths {
		text, err := version.Schema("application/json")
		if err != nil || !json.Valid(text) {
			t.Errorf("%s as JSON: %v", path, err)
		}
		protobuf, err := version.Schema(clientopenapi.ContentTypeOpenAPIV3PB)
		if err != nil || len(protobuf) == 0 || json.Valid(protobuf) {
			t.Errorf("%s as protobuf: %v", path, err)
		}
	}
}

// TestDocumentsDescribeTheResourcesInDiscovery compares two accounts of the same server.
func TestDocumentsDescribeTheResourcesInDiscovery(t *testing.T) {
	service := newService(t)
	for _, version := range discoverytest.Default(t, "apiextensions.k8s.io", "apiregistration.k8s.io") {
		t.Run(version.GroupVersion.String(), func(t *testing.T) {
			var want []string
			for _, resource := range version.Resources {
				want = append(want, resource.Name)
			}
			got := resources(t, service.Document(documentPath(version.GroupVersion)))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("only in discovery (-), only in OpenAPI (+):\n%s", diff)
			}
		})
	}
}

func documentPath(version schema.GroupVersion) string {
	if version.Group == "" {
		return "api/" + version.Version
	}
	return "apis/" + version.String()
}

// resources lists the resources and subresources that a document has paths for.
func resources(t *testing.T, document *openapi.Document) []string {
	t.Helper()
	text, err := document.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct{ Paths map[string]any }
	if err := json.Unmarshal(text, &parsed); err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile(`^/apis?(?:/[^/]+)?/v[0-9]+/(?:namespaces/\{namespace\}/)?([^/{]+)(?:/\{name\}(?:/([^/]+))?(?:/\{path\})?)?$`)
	var names []string
	for path := range parsed.Paths {
		if strings.Contains(path, "/watch/") {
			continue
		}
		if match := whole.FindStringSubmatch(path); match != nil {
			name := match[1]
			if match[2] != "" {
				name += "/" + match[2]
			}
			names = append(names, name)
		} else if !strings.HasSuffix(path, "/") {
			t.Errorf("path %s is not understood", path)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
