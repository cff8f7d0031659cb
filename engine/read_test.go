package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kubetesting "k8s.io/kubernetes/pkg/api/testing"
	"k8s.io/kubernetes/pkg/apis/core"
	"sigs.k8s.io/randfill"

	"gatehouse/engine/api"
	"gatehouse/engine/api/openapi"
	"gatehouse/engine/api/read"
	"gatehouse/engine/logs"
	"gatehouse/engine/objects"
	"gatehouse/engine/pki"
)

// The guard of reads from the cache: whatever is stored, the bytes that clients get are those of upstream's handlers.

const (
	acceptJSON     = "application/json"
	acceptProtobuf = "application/vnd.kubernetes.protobuf"
	acceptYAML     = "application/yaml"
	// asMetadata is put behind either.
	asMetadata = ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	// objectsPerKind are fuzzed: enough for values that differ, and for pages.
	objectsPerKind = 6
)

// twoPaths is one store with two APIs before it: one reads from the cache, the other leaves all to upstream's handlers.
type twoPaths struct {
	server          *Server
	cached, handled *httptest.Server
	reads           *read.Counts
	filler          *randfill.Filler
	served          []servedKind
}

// servedKind is one resource in one version.
type servedKind struct {
	resource   schema.GroupVersionResource
	namespaced bool
	store      *objects.Store
}

func (k servedKind) path(namespace string) string {
	path := "/apis/" + k.resource.Group + "/" + k.resource.Version
	if k.resource.Group == "" {
		path = "/api/" + k.resource.Version
	}
	if k.namespaced && namespace != "" {
		path += "/namespaces/" + namespace
	}
	return path + "/" + k.resource.Resource
}

func newTwoPaths(t *testing.T) *twoPaths {
	t.Helper()
	config := testConfig(t, t.TempDir())
	bundle, err := pki.Ensure(pki.Request{DataDir: config.DataDir, ServerURL: "https://127.0.0.1:1", ServiceCIDRs: config.Services.CIDRs})
	if err != nil {
		t.Fatal(err)
	}
	// A server that does not serve has no loops that would change what the test stores.
	server, err := New(t.Context(), config, bundle, testLogger(t), logs.NewRing(config.Log.Kept))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &twoPaths{server: server, reads: &read.Counts{}}
	p.filler = fuzzer.FuzzerFor(kubetesting.FuzzerFuncs, rand.NewSource(1), legacyscheme.Codecs).NumElements(1, 2)
	apiConfig := api.Config{
		Catalog:         server.parts.catalog,
		Authorizer:      server.parts.authorizer,
		Admission:       server.parts.admission,
		TypeConverter:   openapi.NewTypeConverters().For,
		MaxBodyBytes:    1 << 20,
		MinWatchTimeout: minWatchTimeout,
	}
	p.handled = serveAPI(t, apiConfig)
	apiConfig.Cache, apiConfig.Stores, apiConfig.Reads = server.parts.cache, server.parts.stores, p.reads
	p.cached = serveAPI(t, apiConfig)
	p.findServed()
	return p
}

func serveAPI(t *testing.T, config api.Config) *httptest.Server {
	t.Helper()
	served, err := api.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(inOrder(served, readRequestInfo))
	t.Cleanup(server.Close)
	return server
}

func (p *twoPaths) findServed() {
	for _, group := range p.server.parts.catalog.Groups {
		for _, version := range group.Versions {
			for name, storage := range version.Storage {
				resource := version.WithResource(name)
				store := p.server.parts.stores.Find("/" + p.server.parts.catalog.Factory.ResourcePrefix(resource.GroupResource()))
				if store == nil || strings.Contains(name, "/") {
					continue
				}
				scoper, ok := storage.(interface{ NamespaceScoped() bool })
				p.served = append(p.served, servedKind{resource: resource, namespaced: ok && scoper.NamespaceScoped(), store: store})
			}
		}
	}
	slices.SortFunc(p.served, func(a, b servedKind) int { return strings.Compare(a.resource.String(), b.resource.String()) })
}

// object makes the n-th object of a kind.
func (p *twoPaths) object(t *testing.T, kind servedKind, n int) (key string, object runtime.Object) {
	t.Helper()
	object = kind.store.Config().NewObject()
	p.filler.Fill(object)
	accessor, err := meta.Accessor(object)
	if err != nil {
		t.Fatal(err)
	}
	accessor.SetName(fmt.Sprintf("object-%d", n))
	accessor.SetNamespace("")
	accessor.SetResourceVersion("")
	accessor.SetLabels(map[string]string{"parity": []string{"even", "odd"}[n%2], "n": fmt.Sprint(n)})
	if pod, ok := object.(*core.Pod); ok {
		pod.Spec.NodeName = []string{"node-a", "node-b", ""}[n%3]
	}
	key = kind.store.Config().ResourcePrefix
	if kind.namespaced {
		accessor.SetNamespace([]string{"east", "west"}[n/2%2])
		key += "/" + accessor.GetNamespace()
	}
	return key + "/" + accessor.GetName(), object
}

// change makes one object, changes it so that it leaves a selector and comes back, and deletes it. It stays if keep is set.
func (p *twoPaths) change(t *testing.T, kind servedKind, n int, keep bool) {
	t.Helper()
	ctx := t.Context()
	key, object := p.object(t, kind, n)
	out := kind.store.Config().NewObject()
	if err := kind.store.Create(ctx, key, object, out, 0); err != nil {
		t.Fatalf("create %s: %v", key, err)
	}
	for _, parity := range []string{"odd", "even"} {
		err := kind.store.GuaranteedUpdate(ctx, key, kind.store.Config().NewObject(), false, nil,
			apistorage.SimpleUpdate(func(current runtime.Object) (runtime.Object, error) {
				accessor, err := meta.Accessor(current)
				if err == nil {
					accessor.SetLabels(map[string]string{"parity": parity})
				}
				return current, err
			}), nil)
		if err != nil {
			t.Fatalf("change %s: %v", key, err)
		}
	}
	if keep {
		return
	}
	err := kind.store.Delete(ctx, key, out, nil, func(context.Context, runtime.Object) error { return nil }, nil, apistorage.DeleteOptions{})
	if err != nil {
		t.Fatalf("delete %s: %v", key, err)
	}
}

type reply struct {
	Status, ContentType string
	Body                string
}

func ask(t *testing.T, server *httptest.Server, path, accept string) reply {
	t.Helper()
	response, body := do(t, server.Client(), http.MethodGet, server.URL+path, "", "Accept", accept)
	return reply{response.Status, response.Header.Get("Content-Type"), body}
}

// compare asks both and expects the same, and from the cache: only what is refused is upstream's to say.
func (p *twoPaths) compare(t *testing.T, path, accept string) {
	t.Helper()
	before := p.reads.Answered()
	want := p.compareAnswers(t, path, accept)
	fromCache := want.Status == "200 OK" || want.Status == "404 Not Found"
	if answered := p.reads.Answered() > before; answered != fromCache {
		t.Errorf("GET %s, %s: %s, answered from the cache: %t; left to upstream: %v",
			path, accept, want.Status, answered, p.reads.LeftToUpstream())
	}
}

// compareAnswers asks both and expects the same, whoever answers. Tables tell how long ago things were, in seconds for what was set when the
// test made the object: where the answers differ upstream is asked once more, for the clock may have ticked in between.
func (p *twoPaths) compareAnswers(t *testing.T, path, accept string) reply {
	t.Helper()
	want, got := ask(t, p.handled, path, accept), ask(t, p.cached, path, accept)
	if !cmp.Equal(want, got) {
		want = ask(t, p.handled, path, accept)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GET %s, %s (-upstream +cache):\n%s", path, accept, diff)
	}
	return want
}

func TestReadsFromTheCacheAreUpstreamsByteForByte(t *testing.T) {
	p := newTwoPaths(t)
	if len(p.served) < 60 {
		t.Fatalf("only %d resources are read from the cache", len(p.served))
	}
	filled := map[*objects.Store]int64{}
	for _, kind := range p.served {
		t.Run(kind.resource.String(), func(t *testing.T) {
			if _, done := filled[kind.store]; !done {
				// The first look at the collection loads it: the writes after it are in the window that watches resume from.
				p.compare(t, kind.path(""), acceptJSON)
				revision, err := kind.store.GetCurrentResourceVersion(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				filled[kind.store] = int64(revision)
				for n := range objectsPerKind {
					p.change(t, kind, n, n != 1)
				}
			}
			for _, encoding := range []string{acceptProtobuf, acceptJSON} {
				for _, accept := range []string{encoding, encoding + asMetadata} {
					p.compareItems(t, kind, accept)
					p.compareLists(t, kind, strings.Replace(accept, "Metadata;", "MetadataList;", 1))
					p.compareWatches(t, kind, accept, filled[kind.store])
				}
			}
			for _, accept := range []string{acceptYAML, acceptYAML + asMetadata} {
				p.compareItems(t, kind, accept)
				p.compare(t, kind.path(""), strings.Replace(accept, "Metadata;", "MetadataList;", 1))
			}
			p.compareTables(t, kind, filled[kind.store])
		})
	}
}

func (p *twoPaths) compareItems(t *testing.T, kind servedKind, accept string) {
	for n := range objectsPerKind + 1 {
		path := kind.path([]string{"east", "west"}[n/2%2]) + fmt.Sprintf("/object-%d", n)
		p.compare(t, path, accept)
	}
}

func (p *twoPaths) compareLists(t *testing.T, kind servedKind, accept string) {
	for _, query := range []string{
		"",
		"?labelSelector=parity%3Dodd",
		"?labelSelector=parity+in+(even),n",
		"?labelSelector=nothing",
		"?fieldSelector=metadata.name%3Dobject-3",
		"?fieldSelector=metadata.name!%3Dobject-3",
		"?fieldSelector=metadata.namespace%3Deast",
		"?fieldSelector=spec.nodeName%3Dnode-a",
		"?fieldSelector=spec.nodeName%3Dnode-b,metadata.name%3Dobject-4",
		"?fieldSelector=spec.nodeName%3D",
		"?resourceVersion=0",
		"?resourceVersion=1&resourceVersionMatch=NotOlderThan",
		"?limit=500",
		"?pretty=false&timeoutSeconds=5",
	} {
		p.compare(t, kind.path("")+query, accept)
	}
	p.compare(t, kind.path("west"), accept)
	p.comparePages(t, kind.path("")+"?limit=2", accept)
	p.comparePages(t, kind.path("")+"?limit=1&labelSelector=parity%3Deven", accept)
	p.comparePages(t, kind.path("")+"?limit=1&fieldSelector=spec.nodeName%3Dnode-b", accept)
}

// compareTables compares what kubectl asks for. Ages are printed in years and do not change while the test runs.
func (p *twoPaths) compareTables(t *testing.T, kind servedKind, after int64) {
	for _, accept := range []string{
		acceptJSON + ";as=Table;g=meta.k8s.io;v=v1," + acceptJSON,
		acceptJSON + ";as=Table;g=meta.k8s.io;v=v1beta1",
		acceptYAML + ";as=Table;g=meta.k8s.io;v=v1",
	} {
		for _, query := range []string{
			"", "?includeObject=Object", "?includeObject=None", "?limit=2", "?labelSelector=nothing", "?labelSelector=parity%3Deven",
			"?includeObject=All", "?pretty=true",
		} {
			p.compare(t, kind.path("")+query, accept)
		}
		for _, query := range []string{"", "?includeObject=Object", "?includeObject=None", "?includeObject=All", "?pretty=true"} {
			p.compare(t, kind.path("east")+"/object-0"+query, accept)
		}
	}
	p.compareItems(t, kind, acceptJSON+";as=Table;g=meta.k8s.io;v=v1")
	for _, watch := range []string{
		fmt.Sprintf("?watch=true&resourceVersion=%d", after),
		fmt.Sprintf("?watch=true&resourceVersion=%d&labelSelector=parity%%3Dodd&includeObject=None", after),
		"?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
		"?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&includeObject=None",
		"?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&includeObject=Object",
	} {
		for _, version := range []string{"v1", "v1beta1"} {
			p.compareWatch(t, kind.path("")+watch, acceptJSON+";as=Table;g=meta.k8s.io;v="+version, objectsPerKind)
		}
	}
}

// comparePages follows the tokens of a list, which both give alike.
func (p *twoPaths) comparePages(t *testing.T, path, accept string) {
	t.Helper()
	token := ""
	for range objectsPerKind + 1 {
		page := path
		if token != "" {
			page += "&continue=" + url.QueryEscape(token)
		}
		p.compare(t, page, accept)
		list := ask(t, p.handled, page, acceptJSON)
		var decoded struct{ Metadata metav1.ListMeta }
		if err := json.Unmarshal([]byte(list.Body), &decoded); err != nil {
			t.Fatal(err)
		}
		if token = decoded.Metadata.Continue; token == "" {
			return
		}
	}
	t.Errorf("%s has no last page", path)
}

func (p *twoPaths) kind(t *testing.T, group, resource string) servedKind {
	t.Helper()
	for _, kind := range p.served {
		if kind.resource.Group == group && kind.resource.Resource == resource {
			return kind
		}
	}
	t.Fatalf("%s in group %q is not served", resource, group)
	return servedKind{}
}

func TestReadsThatAreRefusedAreRefusedInUpstreamsWords(t *testing.T) {
	p := newTwoPaths(t)
	pods := p.kind(t, "", "pods")
	p.compare(t, pods.path(""), acceptJSON)
	before, err := pods.store.GetCurrentResourceVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range objectsPerKind {
		p.change(t, pods, n, true)
	}
	foreign, err := apistorage.EncodeContinue("/registry/secrets/east/object-0\x00", "/registry/secrets/", int64(before))
	if err != nil {
		t.Fatal(err)
	}
	const all, one = "/api/v1/pods", "/api/v1/namespaces/east/pods/object-0"
	for _, test := range []struct {
		name, path, accept string
	}{
		{"a limit below zero", all + "?limit=-1", acceptJSON},
		{"a limit that is no number", all + "?limit=many", acceptJSON},
		{"a resourceVersion that is no number", all + "?resourceVersion=new", acceptJSON},
		{"a resourceVersion of the future", all + "?resourceVersion=999999999", acceptJSON},
		{"an exact resourceVersion of the future", all + "?resourceVersion=999999999&resourceVersionMatch=Exact", acceptJSON},
		{"an exact resourceVersion of the past", all + fmt.Sprintf("?resourceVersion=%d&resourceVersionMatch=Exact", before+3), acceptJSON},
		{"an exact match of nothing", all + "?resourceVersionMatch=Exact", acceptJSON},
		{"a match that is none", all + "?resourceVersion=1&resourceVersionMatch=Roughly", acceptJSON},
		{"a continue token that is none", all + "?continue=token", acceptJSON},
		{"a continue token of another resource", all + "?limit=2&continue=" + foreign, acceptJSON},
		{"a continue token beside a resourceVersion", all + "?resourceVersion=5&continue=" + foreign, acceptJSON},
		{"a label selector that is none", all + "?labelSelector=!!", acceptJSON},
		{"a field selector on an unknown field", all + "?fieldSelector=spec.colour%3Dred", acceptJSON},
		{"a field selector that is none", all + "?fieldSelector=a%3D%3D%3Db,,", acceptJSON},
		{"sendInitialEvents on a list", all + "?sendInitialEvents=true", acceptJSON},
		{"sendInitialEvents without a match", all + "?watch=true&sendInitialEvents=true", acceptJSON},
		{"a continued watch", all + "?watch=true&continue=" + foreign, acceptJSON},
		{"a watch from a resourceVersion that is no number", all + "?watch=true&resourceVersion=new", acceptJSON},
		{"a watch in YAML", all + "?watch=true", "application/yaml"},
		{"an object at a resourceVersion that is no number", one + "?resourceVersion=new", acceptJSON},
		{"an object at a resourceVersion of the future", one + "?resourceVersion=999999999", acceptJSON},
		{"an object at a resourceVersion of the past", one + fmt.Sprintf("?resourceVersion=%d", before), acceptJSON},
		{"an exported object", one + "?export=true", acceptJSON},
		{"an object that is not there, in protobuf", one + "x", acceptProtobuf},
		{"a name that cannot be one", "/api/v1/namespaces/east/pods/%25", acceptJSON},
		{"a namespace that leads elsewhere", "/api/v1/namespaces/../pods", acceptJSON},
		{"an object in a namespace that leads elsewhere", "/api/v1/namespaces/../pods/object-0", acceptJSON},
		{"a namespace that leads nowhere", "/api/v1/namespaces/./pods", acceptJSON},
		{"a watch of a namespace that leads elsewhere", "/api/v1/namespaces/../pods?watch=true", acceptJSON},
		{"an object as a list of metadata", one, acceptJSON + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
		{"a list as one object's metadata", all, acceptJSON + asMetadata},
		{"metadata in a version that is none", all, acceptJSON + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v9"},
		{"metadata in a beta version", all, acceptJSON + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1beta1"},
		{"a table or else JSON", all, acceptJSON + ";as=Table;g=meta.k8s.io;v=v1," + acceptJSON},
		{"a table of one object in protobuf", one, acceptProtobuf + ";as=Table;g=meta.k8s.io;v=v1"},
		{"a list for people", all + "?pretty=true", acceptJSON},
		{"an object for people", one + "?pretty=1", acceptJSON},
		{"metadata for people", all + "?pretty=true", acceptJSON + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
		{"nothing for people", all + "?pretty=true&labelSelector=nothing", acceptJSON},
		{"a list in YAML", all, "application/yaml"},
		{"an object in YAML", one, "application/yaml"},
		{"a media type that is not produced", all, "text/csv"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.compareAnswers(t, test.path, test.accept)
		})
	}
	t.Log("left to upstream:", p.reads.LeftToUpstream())
}

func TestLargeAnswersAreCompressedForWhoAsks(t *testing.T) {
	p := newTwoPaths(t)
	maps := p.kind(t, "", "configmaps")
	for n := range 40 {
		config := &core.ConfigMap{Data: map[string]string{"a": strings.Repeat(fmt.Sprint("value ", n), 1000)}}
		config.Name, config.Namespace = fmt.Sprintf("large-%d", n), "east"
		if err := maps.store.Create(t.Context(), "/configmaps/east/"+config.Name, config, &core.ConfigMap{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, path, accept string
		compressed         bool
	}{
		{"a large list in JSON", "/api/v1/configmaps", acceptJSON, true},
		{"a large list in protobuf", "/api/v1/configmaps", acceptProtobuf, true},
		{"a large list for people", "/api/v1/configmaps?pretty=true", acceptJSON, true},
		{"a small page", "/api/v1/configmaps?limit=3", acceptJSON, false},
		{"one object", "/api/v1/namespaces/east/configmaps/large-1", acceptJSON, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.compare(t, test.path, test.accept)
			// Go's client asks for compression by itself, and tells whether there was any.
			response, _ := do(t, p.cached.Client(), http.MethodGet, p.cached.URL+test.path, "", "Accept", test.accept)
			if response.Uncompressed != test.compressed {
				t.Errorf("the answer was compressed: %t, want %t", response.Uncompressed, test.compressed)
			}
		})
	}
}

func TestMetricsTellHowReadsAreAnswered(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	client := server.admin(t)
	const jobs = "/apis/batch/v1/namespaces/default/jobs" // of which the server makes none itself
	do(t, client, http.MethodGet, server.URL+jobs, "", "Accept", acceptJSON)
	do(t, client, http.MethodGet, server.URL+jobs+"?resourceVersion=new", "", "Accept", acceptJSON)
	_, body := do(t, client, http.MethodGet, server.URL+"/metrics", "")
	for _, want := range []string{
		`gatehouse_reads_total{answered_by="cache",reason=""}`,
		`gatehouse_reads_total{answered_by="upstream",reason="refused"} 1`,
		`gatehouse_cache_objects{prefix="/registry/jobs/"} 0`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	if response, _ := do(t, server.anonymous(), http.MethodGet, server.URL+"/metrics", ""); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without credentials: %s, want 401", response.Status)
	}
}
