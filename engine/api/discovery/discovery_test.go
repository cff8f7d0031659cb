package discovery_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/version"
	upstream "k8s.io/apiserver/pkg/endpoints/discovery"
	clientdiscovery "k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"gatehouse/engine/api/discovery"
	"gatehouse/engine/api/discovery/discoverytest"
)

const aggregatedV2 = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

func addresses() upstream.Addresses {
	return upstream.DefaultAddresses{DefaultAddress: "10.10.10.10:6443"}
}

func newHandler(t *testing.T, versions []discovery.GroupVersion) *discovery.Handler {
	t.Helper()
	handler, err := discovery.New(addresses(), versions)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// ask sends one request; headers come in pairs.
func ask(handler http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	return response
}

// sameJSON compares an answer with a document, both as generic JSON: nothing may be there that the document lacks.
func sameJSON(t *testing.T, want any, got []byte) {
	t.Helper()
	wanted, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal(wanted, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &b); err != nil {
		t.Fatalf("%v in answer %s", err, got)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("differs from kube-apiserver (-) in:\n%s", diff)
	}
}

func TestLegacyDocumentsAreThoseOfKubeAPIServer(t *testing.T) {
	all := discoverytest.Published(t)
	handler := newHandler(t, all)

	files := map[string]string{
		"/apis": "apis.json", "/apis/": "apis.json",
		"/api/v1": "api__v1.json", "/api/v1/": "api__v1.json",
	}
	for _, v := range all {
		if v.Group != "" {
			files["/apis/"+v.Group] = "apis__" + v.Group + ".json"
			files["/apis/"+v.String()+"/"] = "apis__" + v.Group + "__" + v.Version + ".json"
		}
	}
	// Disabled by default, so package discovery does not know their priorities: where they stand is the caller's business.
	alpha := func(groups []any) []any {
		return slices.DeleteFunc(groups, func(group any) bool {
			name := group.(map[string]any)["name"].(string)
			return name == "internal.apiserver.k8s.io" || name == "lifecycle.k8s.io"
		})
	}
	for path, file := range files {
		t.Run(path, func(t *testing.T) {
			var want, got map[string]any
			discoverytest.File(t, file, &want)
			response := ask(handler, http.MethodGet, path)
			if err := json.Unmarshal(response.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if groups, ok := want["groups"].([]any); ok {
				want["groups"] = alpha(groups)
				got["groups"] = alpha(got["groups"].([]any))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("differs from kube-apiserver (-) in:\n%s", diff)
			}
			if got := response.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("content type is %s", got)
			}
		})
	}
}

func TestCoreListsItsVersionsAndTheServersAddress(t *testing.T) {
	response := ask(newHandler(t, nil), http.MethodGet, "/api")
	var want map[string]any
	discoverytest.File(t, "api.json", &want)
	want["serverAddressByClientCIDRs"] = []any{
		map[string]any{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.10.10.10:6443"},
	}
	sameJSON(t, want, response.Body.Bytes())
}

func TestAggregatedDocumentIsThatOfKubeAPIServer(t *testing.T) {
	versions := discoverytest.Default(t)
	handler := newHandler(t, versions)
	want := discoverytest.Aggregated(t, versions)

	t.Run("as JSON of v2", func(t *testing.T) {
		response := ask(handler, http.MethodGet, "/apis", "Accept", "application/json;"+aggregatedV2)
		if got := response.Header().Get("Content-Type"); got != "application/json;"+aggregatedV2 {
			t.Errorf("content type is %s", got)
		}
		got := &apidiscoveryv2.APIGroupDiscoveryList{}
		if err := json.Unmarshal(response.Body.Bytes(), got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("differs from kube-apiserver (-) in:\n%s", diff)
		}
	})
	t.Run("as protobuf of v2", func(t *testing.T) {
		response := ask(handler, http.MethodGet, "/apis", "Accept", "application/vnd.kubernetes.protobuf;"+aggregatedV2)
		scheme := runtime.NewScheme()
		if err := apidiscoveryv2.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		got, _, err := protobuf.NewSerializer(scheme, scheme).Decode(response.Body.Bytes(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got.GetObjectKind().SetGroupVersionKind(want.GroupVersionKind())
		if diff := cmp.Diff(runtime.Object(want), got); diff != "" {
			t.Errorf("differs from kube-apiserver (-) in:\n%s", diff)
		}
	})
	t.Run("for the core group", func(t *testing.T) {
		response := ask(handler, http.MethodGet, "/api", "Accept", "application/json;"+aggregatedV2)
		got := &apidiscoveryv2.APIGroupDiscoveryList{}
		if err := json.Unmarshal(response.Body.Bytes(), got); err != nil {
			t.Fatal(err)
		}
		if len(got.Items) != 1 || len(got.Items[0].Versions) != 1 || got.Items[0].Versions[0].Version != "v1" {
			t.Fatalf("want one group of one version v1, got %v", got.Items)
		}
		i := slices.IndexFunc(got.Items[0].Versions[0].Resources, func(r apidiscoveryv2.APIResourceDiscovery) bool {
			return r.Resource == "pods"
		})
		pods := got.Items[0].Versions[0].Resources[i]
		if len(pods.Subresources) != 10 || !slices.Equal(pods.ShortNames, []string{"po"}) {
			t.Errorf("pods have 10 subresources and short name po in kube-apiserver, here %+v", pods)
		}
	})
	t.Run("but v2beta1 is gone, and the legacy form takes its place where a client allows for it", func(t *testing.T) {
		beta := "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
		if code := ask(handler, http.MethodGet, "/apis", "Accept", beta).Code; code != http.StatusNotAcceptable {
			t.Errorf("v2beta1 alone: want 406, got %d", code)
		}
		response := ask(handler, http.MethodGet, "/apis", "Accept", beta+",application/json")
		if got := response.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("with JSON as second choice: content type is %s", got)
		}
	})
}

func TestUnchangedAggregatedDocumentIsNotSentAgain(t *testing.T) {
	handler := newHandler(t, discoverytest.Default(t))
	accept := "application/json;" + aggregatedV2
	first := ask(handler, http.MethodGet, "/apis", "Accept", accept)
	etag := first.Header().Get("ETag")
	if etag == "" || first.Header().Get("Vary") != "Accept" || first.Header().Get("Cache-Control") != "public" {
		t.Fatalf("want an entity tag, Vary: Accept and Cache-Control: public, got %v", first.Header())
	}
	again := ask(handler, http.MethodGet, "/apis", "Accept", accept, "If-None-Match", etag)
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("want 304 without a body, got %d and %d bytes", again.Code, again.Body.Len())
	}
	handler.Remove(schema.GroupVersion{Group: "batch", Version: "v1"})
	changed := ask(handler, http.MethodGet, "/apis", "Accept", accept, "If-None-Match", etag)
	if changed.Code != http.StatusOK || changed.Header().Get("ETag") == etag {
		t.Errorf("after a change: want 200 with another entity tag, got %d with %s", changed.Code, changed.Header().Get("ETag"))
	}
}

// TestRefusals holds answers to what kube-apiserver v1.37.2 was seen to answer.
func TestRefusals(t *testing.T) {
	handler := newHandler(t, discoverytest.Default(t))
	const notAcceptable = "406: Not Acceptable\n\nAvailable representations: " +
		"application/json, application/yaml, application/vnd.kubernetes.protobuf"
	const onlyThese = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
	const notAllowed = "the server does not allow this method on the requested resource"
	tests := map[string]struct {
		method, path, accept string
		code                 int
		message              string
	}{
		"a write to the core group's root":      {http.MethodDelete, "/api", "", 405, notAllowed},
		"a write to a group version":            {http.MethodPost, "/apis/apps/v1", "", 405, notAllowed},
		"HEAD of a group version":               {http.MethodHead, "/apis/apps/v1", "", 405, notAllowed},
		"a write to the list of groups":         {http.MethodPost, "/apis", "", 200, ""},
		"a write to a group":                    {http.MethodPut, "/apis/apps", "", 200, ""},
		"HTML of a group version":               {http.MethodGet, "/apis/apps/v1", "text/html", 406, notAcceptable},
		"HTML of the list of groups":            {http.MethodGet, "/apis", "text/html", 406, onlyThese},
		"a table of a group version":            {http.MethodGet, "/api/v1", "application/json;as=Table;v=v1;g=meta.k8s.io", 406, onlyThese},
		"a table or else JSON":                  {http.MethodGet, "/api/v1", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", 200, ""},
		"aggregated discovery of no known form": {http.MethodGet, "/apis", "application/json;g=apidiscovery.k8s.io;v=v1;as=APIGroupDiscoveryList", 406, onlyThese},
		"a group that is not served":            {http.MethodGet, "/apis/example.com", "", 404, "404 page not found\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			response := ask(handler, test.method, test.path, "Accept", test.accept)
			if response.Code != test.code {
				t.Fatalf("want %d, got %d: %s", test.code, response.Code, response.Body)
			}
			message := ""
			if response.Code != http.StatusOK {
				message = response.Body.String()
				var status metav1.Status
				if json.Unmarshal(response.Body.Bytes(), &status) == nil {
					message = status.Message
				}
			}
			if message != test.message {
				t.Errorf("want message %q, got %q", test.message, message)
			}
		})
	}
}

func TestFormsOtherThanJSON(t *testing.T) {
	handler := newHandler(t, discoverytest.Default(t))
	yaml := ask(handler, http.MethodGet, "/api", "Accept", "application/yaml")
	if !strings.HasPrefix(yaml.Body.String(), "kind: APIVersions\n") {
		t.Errorf("not YAML: %s", yaml.Body)
	}
	proto := ask(handler, http.MethodGet, "/apis/apps/v1", "Accept", "application/vnd.kubernetes.protobuf")
	if !strings.HasPrefix(proto.Body.String(), "k8s\x00") {
		t.Errorf("not protobuf: %q", proto.Body)
	}
}

func TestGroupVersionsComeAndGo(t *testing.T) {
	handler := newHandler(t, discoverytest.Default(t))
	custom := func(version string) discovery.GroupVersion {
		return discovery.GroupVersion{
			GroupVersion: schema.GroupVersion{Group: "stable.example.com", Version: version},
			Resources:    []metav1.APIResource{{Name: "crontabs", SingularName: "crontab", Namespaced: true, Kind: "CronTab", Verbs: []string{"get"}}},
		}
	}
	for _, version := range []string{"v1beta1", "v1", "v2alpha1"} {
		if err := handler.Set(custom(version)); err != nil {
			t.Fatal(err)
		}
	}
	var group metav1.APIGroup
	if err := json.Unmarshal(ask(handler, http.MethodGet, "/apis/stable.example.com").Body.Bytes(), &group); err != nil {
		t.Fatal(err)
	}
	if group.PreferredVersion.Version != "v1" || len(group.Versions) != 3 || group.Versions[2].Version != "v2alpha1" {
		t.Errorf("want v1 preferred, then v1beta1, v2alpha1, as versions are ordered in Kubernetes; got %+v", group)
	}
	last := func() string {
		var list metav1.APIGroupList
		if err := json.Unmarshal(ask(handler, http.MethodGet, "/apis").Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		return list.Groups[len(list.Groups)-1].Name
	}
	if got := last(); got != "stable.example.com" {
		t.Errorf("want custom resources after all built-in groups, but last is %s", got)
	}

	for _, version := range []string{"v1beta1", "v1", "v2alpha1"} {
		if !handler.Handles("/apis/stable.example.com/" + version) {
			t.Errorf("%s is not handled", version)
		}
		handler.Remove(custom(version).GroupVersion)
		if handler.Handles("/apis/stable.example.com/" + version) {
			t.Errorf("%s is handled after it was removed", version)
		}
	}
	if handler.Handles("/apis/stable.example.com") || last() == "stable.example.com" {
		t.Error("the group is still there after its last version was removed")
	}
}

func TestSubresourceOfAnotherScopeIsRefused(t *testing.T) {
	_, err := discovery.New(addresses(), []discovery.GroupVersion{{
		GroupVersion: schema.GroupVersion{Group: "example.com", Version: "v1"},
		Resources:    []metav1.APIResource{{Name: "things", Namespaced: true}, {Name: "things/status"}},
	}})
	if err == nil || !strings.Contains(err.Error(), "example.com/v1") {
		t.Errorf("want an error that names the group version, got %v", err)
	}
}

func TestPathsAreAllHandled(t *testing.T) {
	handler := newHandler(t, discoverytest.Default(t))
	paths := handler.Paths()
	for _, want := range []string{"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1"} {
		if !slices.Contains(paths, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, path := range paths {
		if !handler.Handles(path) || !handler.Handles(path+"/") {
			t.Errorf("%s is not handled", path)
		}
	}
	for _, path := range []string{"/", "", "/version", "/api/v2", "/apis//v1", "/apis/apps/v2", "/apis/apps/v1/deployments", "/apiserver"} {
		if handler.Handles(path) {
			t.Errorf("%q is handled", path)
		}
	}
}

func TestVersion(t *testing.T) {
	info := version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.2"}
	handler := discovery.Version(info)
	response := ask(handler, http.MethodGet, "/version")
	var got version.Info
	if err := json.Unmarshal(response.Body.Bytes(), &got); err != nil || got != info {
		t.Errorf("want %+v, got %s (%v)", info, response.Body, err)
	}
	if code := ask(handler, http.MethodPost, "/version").Code; code != http.StatusMethodNotAllowed {
		t.Errorf("POST: want 405, got %d", code)
	}
	if code := ask(handler, http.MethodGet, "/version", "Accept", "application/yaml").Code; code != http.StatusNotAcceptable {
		t.Errorf("YAML: want 406, got %d", code)
	}
}

// TestClientFindsEveryResource asks as kubectl does.
func TestClientFindsEveryResource(t *testing.T) {
	versions := discoverytest.Default(t)
	mux := http.NewServeMux()
	mux.Handle("/", newHandler(t, versions))
	mux.Handle("/version", discovery.Version(version.Info{GitVersion: "v1.37.2"}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	want := map[string]metav1.APIResource{}
	for _, v := range versions {
		for _, resource := range v.Resources {
			want[v.GroupVersion.String()+" "+resource.Name] = resource
		}
	}
	for name, legacy := range map[string]bool{"with aggregated discovery": false, "with legacy discovery": true} {
		t.Run(name, func(t *testing.T) {
			client := clientdiscovery.NewDiscoveryClientForConfigOrDie(&rest.Config{Host: server.URL})
			client.UseLegacyDiscovery = legacy
			_, lists, err := client.ServerGroupsAndResourcesWithContext(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]metav1.APIResource{}
			for _, list := range lists {
				for _, resource := range list.APIResources {
					if !legacy {
						// The aggregated form does not have it.
						resource.StorageVersionHash = want[list.GroupVersion+" "+resource.Name].StorageVersionHash
					}
					if !legacy && strings.Contains(resource.Name, "/") {
						resource.SingularName = "" // client-go copies it from the resource
					}
					got[list.GroupVersion+" "+resource.Name] = resource
				}
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Fatalf("the client does not see (-), or sees besides (+):\n%s", diff)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the client sees otherwise (+):\n%s", diff)
			}
		})
	}
	t.Run("and the version", func(t *testing.T) {
		client := clientdiscovery.NewDiscoveryClientForConfigOrDie(&rest.Config{Host: server.URL})
		info, err := client.ServerVersion()
		if err != nil || info.GitVersion != "v1.37.2" {
			t.Errorf("got %v, %v", info, err)
		}
	})
}

func TestConcurrentChangesAndReads(t *testing.T) {
	handler := newHandler(t, discoverytest.Default(t))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			v := discovery.GroupVersion{GroupVersion: schema.GroupVersion{Group: "example.com", Version: "v1"}}
			if err := handler.Set(v); err != nil {
				t.Error(err)
			}
			handler.Remove(v.GroupVersion)
		}
	}()
	for range 50 {
		for _, path := range []string{"/apis", "/apis/example.com", "/apis/example.com/v1", "/apis/apps/v1"} {
			io.Copy(io.Discard, ask(handler, http.MethodGet, path).Body)
		}
		ask(handler, http.MethodGet, "/apis", "Accept", "application/json;"+aggregatedV2)
	}
	<-done
}

func BenchmarkNew(b *testing.B) {
	versions := discoverytest.Default(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := discovery.New(addresses(), versions); err != nil {
			b.Fatal(err)
		}
	}
}
