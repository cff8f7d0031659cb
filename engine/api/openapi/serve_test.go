package openapi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"gatehouse/engine/api/openapi"
)

func newService(t testing.TB) *openapi.Service {
	t.Helper()
	service, err := openapi.New()
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// ask sends one request; headers come in pairs.
func ask(handler http.Handler, method, target string, headers ...string) *http.Response {
	request := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	return response.Result()
}

// body reads an answer, unpacked if it was compressed.
func body(t testing.TB, response *http.Response) []byte {
	t.Helper()
	var reader io.Reader = response.Body
	if response.Header.Get("Content-Encoding") == "gzip" && response.ContentLength != 0 {
		raw, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) == 0 {
			return nil
		}
		if reader, err = gzip.NewReader(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// both returns our service and upstream's with the same documents, one of each version.
func both(t *testing.T) (ours *openapi.Service, upstream http.Handler) {
	t.Helper()
	ours = newService(t)
	text, err := ours.Document("apis/node.k8s.io/v1").JSON()
	if err != nil {
		t.Fatal(err)
	}
	v3 := &spec3.OpenAPI{}
	if err := json.Unmarshal(text, v3); err != nil {
		t.Fatal(err)
	}
	v2 := &spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger: "2.0",
		Info:    &spec.Info{InfoProps: spec.InfoProps{Title: strings.Repeat("long enough to be compressed ", 1000), Version: "1"}},
		Paths:   &spec.Paths{},
	}}

	paths := mux.NewPathRecorderMux("upstream")
	handler.NewOpenAPIService(v2).RegisterOpenAPIVersionedService("/openapi/v2", paths)
	service := handler3.NewOpenAPIService()
	service.UpdateGroupVersion("apis/node.k8s.io/v1", v3)
	if err := service.RegisterOpenAPIV3VersionedService("/openapi/v3", paths); err != nil {
		t.Fatal(err)
	}

	for _, path := range ours.Paths() {
		ours.Remove(path)
	}
	if text, err = json.Marshal(v3); err != nil {
		t.Fatal(err)
	}
	document, err := openapi.NewV3(text)
	if err != nil {
		t.Fatal(err)
	}
	ours.Set("apis/node.k8s.io/v1", document)
	if text, err = v2.MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	if document, err = openapi.NewV2(text); err != nil {
		t.Fatal(err)
	}
	ours.SetV2(document)
	return ours, paths
}

func TestAnswersAreThoseOfUpstreamsHandlers(t *testing.T) {
	ours, upstream := both(t)
	etag := func(target string) string { return ask(upstream, http.MethodGet, target).Header.Get("Etag") }
	hash, err := strconv.Unquote(etag("/openapi/v3/apis/node.k8s.io/v1"))
	if err != nil {
		t.Fatal(err)
	}
	const v2, v3, root = "/openapi/v2", "/openapi/v3/apis/node.k8s.io/v1", "/openapi/v3"
	tests := map[string]struct {
		method, target string
		headers        []string
	}{
		"v2 without Accept":                   {http.MethodGet, v2, nil},
		"v2 as kubectl asks for it":           {http.MethodGet, v2, []string{"Accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "Accept-Encoding", "gzip"}},
		"v2 as valid protobuf type":           {http.MethodGet, v2, []string{"Accept", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"}},
		"v2 as any application type":          {http.MethodGet, v2, []string{"Accept", "application/*"}},
		"v2 by weights":                       {http.MethodGet, v2, []string{"Accept", "application/json;q=0.5, application/com.github.proto-openapi.spec.v2@v1.0+protobuf;q=0.9"}},
		"v2 in a form it does not have":       {http.MethodGet, v2, []string{"Accept", "text/html"}},
		"v2 in the protobuf of v3":            {http.MethodGet, v2, []string{"Accept", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"}},
		"v2 compressed":                       {http.MethodGet, v2, []string{"Accept-Encoding", "gzip, deflate"}},
		"v2 not compressed, in so many words": {http.MethodGet, v2, []string{"Accept-Encoding", "gzip;q=0"}},
		"v2 unchanged":                        {http.MethodGet, v2, []string{"If-None-Match", etag(v2)}},
		"v2 changed":                          {http.MethodGet, v2, []string{"If-None-Match", `"0"`}},
		"v2 by HEAD":                          {http.MethodHead, v2, nil},
		"v2 by POST":                          {http.MethodPost, v2, nil},
		"v2 in part":                          {http.MethodGet, v2, []string{"Range", "bytes=100-199"}},
		"v2 from its end":                     {http.MethodGet, v2, []string{"Range", "bytes=-10"}},
		"v2 past its end":                     {http.MethodGet, v2, []string{"Range", "bytes=100000000-"}},
		"v3 without Accept":                   {http.MethodGet, v3, nil},
		"v3 as protobuf":                      {http.MethodGet, v3, []string{"Accept", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"}},
		"v3 as valid protobuf type":           {http.MethodGet, v3, []string{"Accept", "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"}},
		"v3 in a form it does not have":       {http.MethodGet, v3, []string{"Accept", "application/yaml"}},
		"v3 with its hash":                    {http.MethodGet, v3 + "?hash=" + hash, nil},
		"v3 with its hash, unchanged":         {http.MethodGet, v3 + "?hash=" + hash, []string{"If-None-Match", etag(v3)}},
		"v3 with another hash":                {http.MethodGet, v3 + "?hash=0", nil},
		"v3 in part":                          {http.MethodGet, v3, []string{"Range", "bytes=5000-5999"}},
		"the index of v3":                     {http.MethodGet, root, nil},
		"the index of v3, unchanged":          {http.MethodGet, root, []string{"If-None-Match", etag(root)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := ask(upstream, test.method, test.target, test.headers...)
			got := ask(ours, test.method, test.target, test.headers...)
			if want.StatusCode != got.StatusCode {
				t.Fatalf("want status %d, got %d", want.StatusCode, got.StatusCode)
			}
			for _, header := range []string{"Content-Type", "Content-Encoding", "Content-Range", "Etag", "Cache-Control", "Expires", "Location"} {
				if header == "Expires" && (want.Header.Get(header) == "") == (got.Header.Get(header) == "") {
					continue // a year from now, which may differ by a second
				}
				if want.Header.Get(header) != got.Header.Get(header) {
					t.Errorf("want %s %q, got %q", header, want.Header.Get(header), got.Header.Get(header))
				}
			}
			for _, value := range want.Header.Values("Vary") {
				if !strings.Contains(strings.Join(got.Header.Values("Vary"), ","), value) {
					t.Errorf("Vary lacks %s", value)
				}
			}
			if !bytes.Equal(body(t, want), body(t, got)) {
				t.Error("the body differs")
			}
		})
	}
}

// TestWhereWeDifferFromUpstream keeps what is otherwise on purpose.
func TestWhereWeDifferFromUpstream(t *testing.T) {
	service := newService(t)
	t.Run("v3 documents are compressed too", func(t *testing.T) {
		plain := ask(service, http.MethodGet, "/openapi/v3/api/v1")
		packed := ask(service, http.MethodGet, "/openapi/v3/api/v1", "Accept-Encoding", "gzip")
		if packed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" {
			t.Fatalf("want gzip where it is accepted, and only there")
		}
		if !bytes.Equal(body(t, plain), body(t, packed)) {
			t.Error("compressed and plain answers differ")
		}
	})
	t.Run("an unknown document is 404 instead of nothing", func(t *testing.T) {
		for _, target := range []string{"/openapi/v3/apis/example.com/v1", "/openapi/v3/", "/openapi/v1"} {
			if got := ask(service, http.MethodGet, target).StatusCode; got != http.StatusNotFound {
				t.Errorf("%s: want 404, got %d", target, got)
			}
		}
	})
	t.Run("an Accept header that means nothing is 406 instead of nothing", func(t *testing.T) {
		if got := ask(service, http.MethodGet, "/openapi/v3/api/v1", "Accept", "garbage").StatusCode; got != http.StatusNotAcceptable {
			t.Errorf("want 406, got %d", got)
		}
	})
	t.Run("compressed documents are not cut into parts", func(t *testing.T) {
		got := ask(service, http.MethodGet, "/openapi/v2", "Accept-Encoding", "gzip", "Range", "bytes=0-9")
		if got.StatusCode != http.StatusPartialContent || got.Header.Get("Content-Encoding") != "" || string(body(t, got)) != `{"swagger"` {
			t.Errorf("want the first ten plain bytes, got %d %v", got.StatusCode, got.Header)
		}
	})
}

// TestHashesAreThoseOfKubeAPIServer compares with the index that a kube-apiserver v1.37.2 gave when it was started without
// any flag that turns APIs or features on or off: the hashes cover the documents to the last byte.
func TestHashesAreThoseOfKubeAPIServer(t *testing.T) {
	content, err := os.ReadFile("testdata/kube-apiserver-v1.37.2-openapi-v3.json")
	if err != nil {
		t.Fatal(err)
	}
	var want, got handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(content, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body(t, ask(newService(t), http.MethodGet, "/openapi/v3")), &got); err != nil {
		t.Fatal(err)
	}
	for path := range want.Paths {
		if strings.HasPrefix(path, "apis/apiextensions.k8s.io") || strings.HasPrefix(path, "apis/apiregistration.k8s.io") {
			delete(want.Paths, path) // not served yet
		}
	}
	for path := range got.Paths {
		if strings.HasPrefix(path, "apis/plugins.gatehouse.dev") {
			delete(got.Paths, path) // the server's own
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("documents differ from kube-apiserver's (-):\n%s", diff)
	}
}

func TestEveryURLInTheIndexWorksAndMayBeKept(t *testing.T) {
	service := newService(t)
	var index handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(body(t, ask(service, http.MethodGet, "/openapi/v3")), &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Paths) == 0 {
		t.Fatal("the index is empty")
	}
	for path, entry := range index.Paths {
		if _, err := url.Parse(entry.ServerRelativeURL); err != nil {
			t.Fatal(err)
		}
		got := ask(service, http.MethodGet, entry.ServerRelativeURL)
		if got.StatusCode != http.StatusOK || got.Header.Get("Cache-Control") != "public, immutable" {
			t.Errorf("%s: %d, Cache-Control %q", path, got.StatusCode, got.Header.Get("Cache-Control"))
		}
		if text := body(t, got); !json.Valid(text) {
			t.Errorf("%s: not JSON", path)
		}
	}
}

func TestDocumentsComeAndGo(t *testing.T) {
	service := newService(t)
	const path = "apis/stable.example.com/v1"
	index := func() string { return string(body(t, ask(service, http.MethodGet, "/openapi/v3"))) }
	if strings.Contains(index(), path) {
		t.Fatal("the index has a group version that nobody added")
	}
	document, err := openapi.NewV3([]byte(`{"openapi":"3.0.0","info":{"title":"CronTab","version":"1"},"paths":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	service.Set(path, document)
	if !strings.Contains(index(), path+"?hash="+document.ETag()) {
		t.Error("the index lacks the added group version")
	}
	got := ask(service, http.MethodGet, "/openapi/v3/"+path, "Accept", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
	if content := body(t, got); !bytes.Contains(content, []byte("CronTab")) || json.Valid(content) {
		t.Errorf("not protobuf: %q", content)
	}
	service.Remove(path)
	if strings.Contains(index(), path) || service.Document(path) != nil {
		t.Error("the removed group version is still there")
	}
}

func TestBrokenDocumentIsAnErrorForWhoAsksForProtobuf(t *testing.T) {
	service := newService(t)
	document, err := openapi.NewV3([]byte(`not JSON`))
	if err != nil {
		t.Fatal(err)
	}
	service.Set("apis/broken/v1", document)
	got := ask(service, http.MethodGet, "/openapi/v3/apis/broken/v1?hash="+document.ETag(),
		"Accept", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
	if got.StatusCode != http.StatusInternalServerError || got.Header.Get("Cache-Control") != "" || got.Header.Get("Expires") != "" {
		t.Errorf("want 500 that is not to be kept, got %d %v", got.StatusCode, got.Header)
	}
	if !strings.Contains(string(body(t, got)), "/openapi/v3/apis/broken/v1") {
		t.Error("the error does not name the document")
	}
}

func TestConcurrentChangesAndReads(t *testing.T) {
	service := newService(t)
	document := service.Document("apis/batch/v1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			service.Set("apis/example.com/v1", document)
			service.Remove("apis/example.com/v1")
			service.SetV2(service.V2())
		}
	}()
	for range 50 {
		for _, target := range []string{"/openapi/v3", "/openapi/v3/apis/example.com/v1"} {
			ask(service, http.MethodGet, target)
		}
	}
	<-done
	if got := ask(service, http.MethodGet, "/openapi/v3/apis/example.com/v1").StatusCode; got != http.StatusNotFound {
		t.Errorf("want 404 at the end, got %d", got)
	}
}
