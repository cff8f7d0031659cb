package read

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/engine/objects/cache"
)

// TestAClientThatStopsReadingIsCutOffAlone has two watches on one HTTP/2 connection, of which one is never read.
func TestAClientThatStopsReadingIsCutOffAlone(t *testing.T) {
	const window, most = 64 << 10, 20
	h := newHarness(t, cache.Options{WatchEvents: most})
	first := h.write("a", "1")
	ended := make(chan string, 2)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer func() { ended <- req.Header.Get("Watcher") }()
		h.handler.ServeHTTP(w, req)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := server.Client()
	client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: window}
	watch := func(watcher string) io.Reader {
		t.Helper()
		url := fmt.Sprintf("%s/api/v1/configmaps?watch=true&resourceVersion=%d", server.URL, first)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Watcher", watcher)
		response, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", response.Proto, response.Status)
		}
		return response.Body
	}
	stuck, quick := watch("stuck"), bufio.NewReader(watch("quick"))
	value := strings.Repeat("x", 8<<10)
	write := func(n int) {
		t.Helper()
		h.write("a", fmt.Sprint(n, value))
		if line, err := quick.ReadString('\n'); err != nil || !strings.Contains(line, fmt.Sprintf(`"v":"%dx`, n)) {
			t.Fatalf("write %d came to the one who reads as %.200q, %v", n, line, err)
		}
	}
	enough := window/len(value) + 2*most
	for n := range enough {
		write(n)
	}
	if slow := h.cache.Stats().SlowWatchers; slow != 1 {
		t.Fatalf("after %d writes %d watchers have been cut off, want 1", enough, slow)
	}
	if watcher := <-ended; watcher != "stuck" {
		t.Fatalf("the %s watch has ended", watcher)
	}
	write(enough)
	if n, err := io.Copy(io.Discard, stuck); err == nil || n > window {
		t.Errorf("the stuck watch ended with %v after %d bytes, want an error within the window", err, n)
	}
}
