package engine

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"gatehouse/engine/config"
	"gatehouse/engine/logs"
	"gatehouse/engine/pki"
)

// running is a server in this process that serves HTTPS.
type running struct {
	*Server
	Admin *rest.Config
	URL   string
	stop  func()
}

// Stop drains the server and fails the test if that fails. It may be called before the test ends.
func (r *running) Stop() { r.stop() }

// testConfig is for a server on dir.
func testConfig(t *testing.T, dir string) config.Config {
	t.Helper()
	c := config.Default()
	c.DataDir = dir
	c.AdvertiseAddress = netip.MustParseAddr("192.0.2.10") // documentation's own: nothing is there
	c.Plugins.Dir = t.TempDir()
	return c
}

// testLogger shows the server's log when the test fails.
func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// serve runs a server on config until the test ends, and waits until it is ready.
func serve(t *testing.T, config config.Config) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + listener.Addr().String()
	bundle, err := pki.Ensure(pki.Request{DataDir: config.DataDir, ServerURL: url, ServiceCIDRs: config.Services.CIDRs})
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(t.Context(), config, bundle, testLogger(t), logs.NewRing(config.Log.Kept))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	stopped := false
	r := &running{Server: server, URL: url}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(r.stop)
	if r.Admin, err = clientcmd.BuildConfigFromFlags("", bundle.AdminKubeconfig()); err != nil {
		t.Fatal(err)
	}
	r.Admin.QPS = -1
	r.waitReady(t)
	return r
}

func (r *running) waitReady(t *testing.T) {
	t.Helper()
	client := r.anonymous()
	err := wait.PollUntilContextCancel(t.Context(), 5e6, true, func(context.Context) (bool, error) {
		response, err := client.Get(r.URL + "/readyz")
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		t.Fatalf("wait for /readyz: %v", err)
	}
}

// anonymous is a client without credentials.
func (r *running) anonymous() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}}
}

// admin is a plain HTTP client with the administrator's certificate.
func (r *running) admin(t *testing.T) *http.Client {
	t.Helper()
	client, err := rest.HTTPClientFor(r.Admin)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (r *running) client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(r.Admin)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// do sends a request and returns the response with its body read.
func do(t *testing.T, client *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(content)
}

func TestNobodyGetsInWithoutCredentials(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	for _, test := range []struct {
		name, method, path, authorization string
		want                              int
	}{
		{"health may be read", "GET", "/healthz", "", 200},
		{"liveness may be read", "GET", "/livez", "", 200},
		{"readiness may be read", "GET", "/readyz", "", 200},
		{"health may not be written", "POST", "/healthz", "", 403},
		{"a path below health is not health", "GET", "/healthz/ping", "", 401},
		{"pods may not be listed", "GET", "/api/v1/pods", "", 401},
		{"pods may not be created", "POST", "/api/v1/namespaces/default/pods", "", 401},
		{"discovery may not be read", "GET", "/apis", "", 401},
		{"a path that is not there is no way around", "GET", "/nothing", "", 401},
		{"a token that is none is refused", "GET", "/api/v1/pods", "Bearer nonsense", 401},
		{"a token does not open more than none does", "GET", "/healthz/ping", "Bearer a.b.c", 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			var header []string
			if test.authorization != "" {
				header = []string{"Authorization", test.authorization}
			}
			response, body := do(t, server.anonymous(), test.method, server.URL+test.path, "", header...)
			if response.StatusCode != test.want {
				t.Errorf("%s %s: %s, want %d\n%s", test.method, test.path, response.Status, test.want, body)
			}
		})
	}
}

func TestServiceAccountTokensAuthenticateAndAreAllowedNothingYet(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	token := server.token(t, "default", "robot")

	config := rest.AnonymousClientConfig(server.Admin)
	config.BearerToken = token
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	response, body := do(t, client, "GET", server.URL+"/api/v1/namespaces/default/secrets", "")
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("listing secrets: %s, want 403", response.Status)
	}
	const want = `secrets is forbidden: User \"system:serviceaccount:default:robot\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"`
	if !strings.Contains(body, want) {
		t.Errorf("message:\n%s\nwants:\n%s", body, want)
	}

	if err := server.client(t).CoreV1().ServiceAccounts("default").Delete(t.Context(), "robot", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if response, _ := do(t, client, "GET", server.URL+"/api/v1/namespaces/default/secrets", ""); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("with the token of a deleted account: %s, want 401", response.Status)
	}
}

func TestPathsThatNameNothingAreAnsweredAsUpstreamDoes(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	client := server.admin(t)
	const pod = "/api/v1/namespaces/default/pods"
	for _, test := range []struct {
		name, method, path string
		header             []string
		want               int
		message            string // of the Status; empty for a plain text answer
	}{
		{"a resource that is not there", "GET", "/api/v1/things", nil, 404, "the server could not find the requested resource"},
		{"a subresource that is not there", "GET", pod + "/x/thing", nil, 404, "the server could not find the requested resource"},
		{"a path below an item", "GET", pod + "/x/status/deeper", nil, 404, "the server could not find the requested resource"},
		{"a namespaced item without its namespace", "GET", "/api/v1/pods/x", nil, 404, "the server could not find the requested resource"},
		{"a version that is not there in a group that is", "GET", "/apis/apps/v9/deployments", nil, 404, "the server could not find the requested resource"},
		{"a version of the core that is not there", "GET", "/api/v2/pods", nil, 404, "the server could not find the requested resource"},
		{"below the version", "GET", "/version/gizmo", nil, 404, "the server could not find the requested resource"},
		{"two slashes at the front", "GET", "//api/v1/namespaces", nil, 404, ""},
		{"a group that is not there", "GET", "/apis/nothing.example/v1/things", nil, 404, ""},
		{"a path that is no API's", "GET", "/nothing", nil, 404, ""},
		{"a create in all namespaces", "POST", "/api/v1/pods", nil, 405, "the server does not allow this method on the requested resource"},
		{"a put to a collection", "PUT", pod, nil, 405, "the server does not allow this method on the requested resource"},
		{"a post to an item", "POST", pod + "/x", nil, 405, "the server does not allow this method on the requested resource"},
		{"a patch without a patch type", "PATCH", pod + "/x", []string{"Content-Type", "application/json"}, 415,
			"415: Unsupported Media Type"},
		{"an answer in a type that is not produced", "GET", pod, []string{"Accept", "text/csv"}, 406,
			"406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, body := do(t, client, test.method, server.URL+test.path, "{}", test.header...)
			if response.StatusCode != test.want {
				t.Errorf("%s, want %d", response.Status, test.want)
			}
			if test.message == "" {
				if diff := cmp.Diff("404 page not found\n", body); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
				return
			}
			if status := decodeStatus(t, body); status.Message != test.message {
				t.Errorf("message %q, want %q", status.Message, test.message)
			}
		})
	}
}

func TestRelyingPartiesFindTheKeysOfServiceAccountTokens(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	client := server.admin(t)
	var configuration struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	response, body := do(t, client, "GET", server.URL+"/.well-known/openid-configuration", "")
	if err := json.Unmarshal([]byte(body), &configuration); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v\n%s", response.Status, err, body)
	}
	if configuration.Issuer != server.config.ServiceAccounts.Issuer || !strings.HasSuffix(configuration.JWKSURI, "/openid/v1/jwks") {
		t.Errorf("configuration: %+v", configuration)
	}
	var keys struct {
		Keys []struct {
			KeyID string `json:"kid"`
		} `json:"keys"`
	}
	if _, body := do(t, client, "GET", server.URL+"/openid/v1/jwks", ""); json.Unmarshal([]byte(body), &keys) != nil || len(keys.Keys) != 1 {
		t.Fatalf("keys: %s", body)
	}
	header, _, _ := strings.Cut(server.token(t, "default", "robot"), ".")
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil || !strings.Contains(string(decoded), `"kid":"`+keys.Keys[0].KeyID+`"`) {
		t.Errorf("the token's header %s is not signed by key %s", decoded, keys.Keys[0].KeyID)
	}
}

func TestBodyThatStopsComingHoldsNeitherTheRequestNorTheServer(t *testing.T) {
	config := testConfig(t, t.TempDir())
	config.Requests.Timeout = 300 * time.Millisecond
	server := serve(t, config)
	for name, tlsConfig := range map[string]func() *tls.Config{
		"of somebody unknown": func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} },
		"of an administrator": func() *tls.Config {
			c, err := rest.TLSConfigFor(server.Admin)
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			connection, err := tls.Dial("tcp", strings.TrimPrefix(server.URL, "https://"), tlsConfig())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if _, err := io.WriteString(connection, "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\n"+
				"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"a"); err != nil {
				t.Fatal(err)
			}
			// The server answers or hangs up, long before the drain's or the test's own end.
			if _, err := io.ReadAll(connection); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
		})
	}
}
