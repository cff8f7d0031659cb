package e2e

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"gatehouse/tests/harness"
)

// patience bounds every wait for something that must come. The slowest is compaction, which a server begins once a minute.
const patience = 3 * time.Minute

// undisturbed has a server make no ConfigMaps in the namespaces that tests count them in.
func undisturbed() []string {
	return []string{"--controllers=*,-root-ca-certificate-publisher-controller"}
}

// within is a context for one wait.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until try returns nil.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	if err := harness.Poll(within(t, patience), try); err != nil {
		t.Fatal(err)
	}
}

func typed(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func untyped(t *testing.T, config *rest.Config) *dynamic.DynamicClient {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// inProtobuf is config for a client that sends and takes protobuf.
func inProtobuf(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf
	return config
}

// answer is what the server said to a plain request.
type answer struct {
	code   int
	header http.Header
	body   string
}

// plain sends requests as they are, with the administrator's certificate.
type plain struct {
	t      *testing.T
	client *http.Client
	host   string
}

func newPlain(t *testing.T, server *harness.Server) plain {
	t.Helper()
	config := server.ClientConfig()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	// What rest.HTTPClientFor adds of headers would hide that a request has none.
	return plain{t: t, client: client, host: config.Host}
}

// do sends a request; header has lines such as "Accept: application/yaml".
func (p plain) do(method, path, body string, header ...string) answer {
	p.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(within(p.t, patience), method, p.host+path, reader)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	response, err := p.client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// next returns the next event of a watch.
func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case event, open := <-w.ResultChan():
		if !open {
			t.Fatal("the watch ended, want an event")
		}
		return event
	case <-within(t, patience).Done():
		t.Fatal("no event came")
	}
	return watch.Event{}
}

// pod is one that is valid and runs nowhere.
func pod(name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "registry.example.org/web:1"}}},
	}
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

func configMapName(m corev1.ConfigMap) string { return m.Name }

func names[T any](items []T, name func(T) string) []string {
	var all []string
	for _, item := range items {
		all = append(all, name(item))
	}
	return all
}
