package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// newSmallClient makes a client whose window takes little of an answer that is not read.
func newSmallClient(tlsConfig *tls.Config) *http.Client {
	const window = 64 << 10
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, DisableCompression: true,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: window},
	}}
}

// TestClientsThatStopReadingHoldNeitherOthersNorTheServer has watches of a whole server, over one real connection, that are opened
// and then not read: flow control stops what is sent to them. One of them is cut off, the other has little waiting when the
// server is told to stop.
func TestClientsThatStopReadingHoldNeitherOthersNorTheServer(t *testing.T) {
	// waiting is far beyond what the server's buffers and the client's window take.
	const size, waiting = 768 << 10, 40
	config := testConfig(t, t.TempDir())
	config.Shutdown.DrainTimeout = time.Hour // or what hangs would be cut off in the end
	server := serve(t, config)
	client := server.admin(t)
	tlsConfig, err := rest.TLSConfigFor(server.Admin)
	if err != nil {
		t.Fatal(err)
	}
	notReading := newSmallClient(tlsConfig)
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

// TestAnswersThatAreNotReadHoldNoHandler leaves an answer unread and tells the server to stop, which it can only once the handler
// has ended.
func TestAnswersThatAreNotReadHoldNoHandler(t *testing.T) {
	config := testConfig(t, t.TempDir())
	config.Shutdown.DrainTimeout = time.Hour // or what hangs would be cut off in the end
	config.Requests.Timeout = time.Second
	server := serve(t, config)
	tlsConfig, err := rest.TLSConfigFor(server.Admin)
	if err != nil {
		t.Fatal(err)
	}
	big := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "big"}, Data: map[string]string{"x": strings.Repeat("x", 768<<10)}}
	if _, err := server.client(t).CoreV1().ConfigMaps("default").Create(t.Context(), big, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/namespaces/default/configmaps/big", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := newSmallClient(tlsConfig).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
		t.Fatalf("get: %s %s", response.Proto, response.Status)
	}
	server.Stop()
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("all %d bytes have come: the answer was not too large for what its client takes unread", n)
	}
}

// TestWatchesOutliveTheTimeForAnswers has a watch begin, then an answer that nobody reads, and after that has been reset the watch
// write what it has to say.
func TestWatchesOutliveTheTimeForAnswers(t *testing.T) {
	begun, reset := make(chan struct{}), make(chan struct{})
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("watch") {
			w.(http.Flusher).Flush()
			close(begun)
			<-reset
			_, _ = io.WriteString(w, "still there")
			return
		}
		defer close(reset)
		<-begun
		for piece := make([]byte, 64<<10); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	server := httptest.NewUnstartedServer(inOrder(http.HandlerFunc(answer), readRequestInfo, endWatchesWith(t.Context())))
	server.EnableHTTP2 = true
	server.Config.WriteTimeout = 100 * time.Millisecond
	server.StartTLS()
	defer server.Close()
	watch, err := server.Client().Get(server.URL + "/api/v1/pods?watch=true")
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Body.Close()
	unread, err := server.Client().Get(server.URL + "/api/v1/pods")
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Body.Close()
	if body, err := io.ReadAll(watch.Body); string(body) != "still there" || err != nil {
		t.Errorf("the watch had %q and ended with error %v", body, err)
	}
}
