package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"

	"gatehouse/engine/api"
	"gatehouse/engine/api/discovery"
	"gatehouse/engine/api/discovery/discoverytest"
	"gatehouse/engine/api/openapi"
)

func decodeStatus(t *testing.T, body string) metav1.Status {
	t.Helper()
	var status metav1.Status
	if err := json.Unmarshal([]byte(body), &status); err != nil || status.Kind != "Status" {
		t.Fatalf("not a Status: %v\n%s", err, body)
	}
	return status
}

// token makes a service account and a token for it.
func (r *running) token(t *testing.T, namespace, name string) string {
	t.Helper()
	accounts := r.client(t).CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	request, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

func TestResourcesAreThoseOfKubeAPIServer(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	want := discoverytest.Default(t, "apiextensions.k8s.io", "apiregistration.k8s.io")
	byVersion := map[string]discovery.GroupVersion{}
	for _, version := range server.parts.api.Versions() {
		byVersion[version.String()] = version
	}
	var got []discovery.GroupVersion
	for _, version := range want {
		got = append(got, byVersion[version.String()])
		delete(byVersion, version.String())
	}
	if diff := discoverytest.Diff(want, got); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	delete(byVersion, "plugins.gatehouse.dev/v1alpha1") // the server's own
	for version := range byVersion {
		t.Errorf("%s is served, which kube-apiserver does not by default", version)
	}
}

// counting is an admission member that counts how often it is asked.
type counting struct {
	*admission.Handler
	mu    sync.Mutex
	asked int
}

func (c *counting) Admit(_ context.Context, write admission.Attributes, _ admission.ObjectInterfaces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	written, err := meta.Accessor(write.GetObject())
	if err == nil && written.GetGenerateName() == "c-" { // the server's own writes go on beside the test's
		c.asked++
	}
	return nil
}

func TestAdmissionIsAskedOnceForEachWriteHoweverManyCameBefore(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	member := &counting{Handler: admission.NewHandler(admission.Create)}
	served, err := api.New(api.Config{
		Catalog:       server.parts.catalog,
		Authorizer:    server.parts.authorizer,
		Admission:     admission.NewChainHandler(member),
		TypeConverter: openapi.NewTypeConverters().For,
		MaxBodyBytes:  1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	server.parts.loopback.Serve(server.loopbackHandler(served))
	client := &http.Client{Transport: server.parts.loopback}
	const writes = 20
	for range writes {
		response, body := do(t, client, "POST", "https://self/api/v1/namespaces/default/configmaps",
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"c-"}}`, "Content-Type", "application/json")
		if response.StatusCode != http.StatusCreated {
			t.Fatalf("%s\n%s", response.Status, body)
		}
	}
	if member.asked != writes {
		t.Errorf("admission was asked %d times for %d writes", member.asked, writes)
	}
}

func TestPortsAndAddressesOfServicesOutliveARestart(t *testing.T) {
	config := testConfig(t, t.TempDir())
	create := func(server *running, name string, edit func(*corev1.ServiceSpec)) (*corev1.Service, error) {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
			Type:  corev1.ServiceTypeNodePort,
			Ports: []corev1.ServicePort{{Port: 80}},
		}}
		edit(&service.Spec)
		return server.client(t).CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{})
	}
	server := serve(t, config)
	first, err := create(server, "first", func(*corev1.ServiceSpec) {})
	if err != nil {
		t.Fatal(err)
	}
	port, address := first.Spec.Ports[0].NodePort, first.Spec.ClusterIP
	if port == 0 || address == "" {
		t.Fatalf("the Service has node port %d and cluster IP %q", port, address)
	}
	server.Stop()

	server = serve(t, config)
	if _, err := create(server, "same-port", func(spec *corev1.ServiceSpec) { spec.Ports[0].NodePort = port }); err == nil {
		t.Errorf("node port %d was given out twice", port)
	}
	if _, err := create(server, "same-address", func(spec *corev1.ServiceSpec) { spec.ClusterIP = address }); err == nil {
		t.Errorf("cluster IP %s was given out twice", address)
	}
	if err := server.client(t).CoreV1().Services("default").Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := create(server, "port-again", func(spec *corev1.ServiceSpec) { spec.Ports[0].NodePort = port }); err != nil {
		t.Errorf("node port of a Service that was deleted: %v", err)
	}
}

func TestWatchesEndCleanlyWhenTheServerStops(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	watch, err := server.client(t).CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=nobodys"})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	server.Stop()
	for event := range watch.ResultChan() {
		if event.Type != "BOOKMARK" {
			t.Errorf("the watch ended with %s %v", event.Type, event.Object)
		}
	}
}

func TestBrokenPluginDoesNotKeepTheServerFromComingUp(t *testing.T) {
	config := testConfig(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(config.Plugins.Dir, "broken.wasm"), []byte("no module"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := serve(t, config) // ready: its own namespaces and roles are made whatever plugins say
	_, err := server.client(t).CoreV1().ConfigMaps("default").Create(t.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	if err == nil || !strings.Contains(err.Error(), `"broken"`) {
		t.Errorf("a client's write: %v, want a refusal that names the plugin", err)
	}
}
