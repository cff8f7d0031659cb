package engine

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// TestClientsThatStopReadingHoldNeitherOthersNorTheServer has watches of a whole server, over one real connection, that are opened
// and then not read: flow control stops what is sent to them. One of them is cut off, the other has little waiting when the
// server is told to stop.
func TestClientsThatStopReadingHoldNeitherOthersNorTheServer(t *testing.T) {
	// waiting is far beyond what the server's buffers and the client's window take.
	const window, size, waiting = 64 << 10, 768 << 10, 40
	config := testConfig(t, t.TempDir())
	config.Shutdown.DrainTimeout = time.Hour // or what hangs would be cut off in the end
	server := serve(t, config)
	client := server.admin(t)
	tlsConfig, err := rest.TLSConfigFor(server.Admin)
	if err != nil {
		t.Fatal(err)
	}
	notReading := &http.Client{Transport: &http.Transport{
		TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: window},
	}}
	for _, namespace := range []string{"default", "kube-public"} {
		// Not the test's context: the server has to end these watches, nobody else does.
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet,
			server.URL+"/api/v1/namespaces/"+namespace+"/configmaps?watch=true", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := notReading.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
			t.Fatalf("watch: %s %s", response.Proto, response.Status)
		}
	}

	maps := server.client(t).CoreV1()
	reading, err := maps.ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{LabelSelector: "big"})
	if err != nil {
		t.Fatal(err)
	}
	big := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "big", Labels: map[string]string{"big": ""}},
		Data:       map[string]string{"x": strings.Repeat("x", size)},
	}
	if _, err := maps.ConfigMaps("kube-public").Create(t.Context(), big, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for n := range waiting {
		big.Name = fmt.Sprint("big-", n)
		if _, err := maps.ConfigMaps("default").Create(t.Context(), big, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if event := <-reading.ResultChan(); event.Object.(*corev1.ConfigMap).Name != big.Name {
			t.Fatalf("who reads is told of %v", event.Object)
		}
	}
	if slow := server.parts.cache.Stats().SlowWatchers; slow != 1 {
		t.Errorf("%d watchers have been cut off, want 1", slow)
	}
	if response, body := do(t, client, "GET", server.URL+"/api/v1/namespaces/default/configmaps/big-0", ""); response.StatusCode != http.StatusOK {
		t.Errorf("beside them: %s %s", response.Status, body)
	}
	server.Stop()
}
