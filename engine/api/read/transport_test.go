package read

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"gatehouse/engine/objects/cache"
)

func TestACompressedWatchCanBeReadUpToEachFlush(t *testing.T) {
	recorder := httptest.NewRecorder()
	w := &compressedWriter{ResponseWriter: recorder, flusher: recorder, buffers: newBuffers()}
	w.WriteHeader(http.StatusOK)
	if got := recorder.Header(); got.Get("Content-Encoding") != "gzip" || got.Get("Vary") != "Accept-Encoding" {
		t.Errorf("headers %v", got)
	}
	read, write := io.Pipe()
	defer read.Close()
	fed := make(chan struct{})
	decompressed := make(chan *gzip.Reader, 1)
	go func() {
		defer close(fed)
		reader, err := gzip.NewReader(read)
		if err != nil {
			t.Error(err)
		}
		decompressed <- reader
	}()
	var reader *gzip.Reader
	for n, text := range []string{strings.Repeat("all there is ", gzipThreshold/10), "an event\n", "another\n"} {
		recorder.Body.Reset()
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		if n == 0 && recorder.Body.Len() > len(text)/10 {
			t.Errorf("%d bytes that repeat themselves became %d", len(text), recorder.Body.Len())
		}
		if w.member != nil {
			t.Error("buffers are kept after a flush")
		}
		sent := bytes.Clone(recorder.Body.Bytes())
		go func() {
			if _, err := write.Write(sent); err != nil {
				t.Error(err)
			}
		}()
		if reader == nil {
			<-fed
			reader = <-decompressed
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != text {
			t.Fatalf("flush %d: %v, %.40q", n, err, got)
		}
	}
}

func TestAWatchThatBeginsWithAllThereIsIsCompressedForWhoAsks(t *testing.T) {
	h := newHarness(t, cache.Options{})
	first := h.write("a", "1")
	h.write("a", "2")
	const initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
	for _, test := range []struct {
		query, accepts, want string
	}{
		{initial + "&allowWatchBookmarks=true", "gzip", "gzip"},
		{initial + "&allowWatchBookmarks=true", "deflate, gzip;q=0.5", ""}, // as upstream reads it
		{initial + "&allowWatchBookmarks=true", "", ""},
		{initial, "gzip", ""},
		{fmt.Sprintf("allowWatchBookmarks=true&resourceVersion=%d", first), "gzip", ""},
	} {
		t.Run(fmt.Sprint(test.query, " ", test.accepts), func(t *testing.T) {
			w := h.watchWith(t.Context(), test.query, http.Header{"Accept-Encoding": {test.accepts}})
			w.next(1)
			if got := w.header.Get("Content-Encoding"); got != test.want {
				t.Errorf("encoding %q, want %q", got, test.want)
			}
		})
	}
}

// TestAWebsocketWhoseClientHasGoneIsNotWaitedFor has a client that hangs up without having read what is being written to it.
func TestAWebsocketWhoseClientHasGoneIsNotWaitedFor(t *testing.T) {
	h := newHarness(t, cache.Options{})
	first := h.write("a", "1")
	ended := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer close(ended)
		h.handler.ServeHTTP(w, req)
	})}
	t.Cleanup(func() { server.Close() })
	here, there := net.Pipe()
	listener := &oneConnection{Conn: there, taken: make(chan struct{})}
	go server.Serve(listener) //nolint:errcheck // it ends with the test

	config, err := websocket.NewConfig(fmt.Sprintf("ws://server/api/v1/configmaps?watch=true&resourceVersion=%d", first), "http://server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := websocket.NewClient(config, here); err != nil {
		t.Fatal(err)
	}
	h.write("a", "2")
	if _, err := here.Read(make([]byte, 1)); err != nil { // now it is being written
		t.Fatal(err)
	}
	if err := there.SetReadDeadline(time.Unix(1, 0)); err != nil { // there is nothing to come from the client
		t.Fatal(err)
	}
	<-ended
}

// oneConnection is a listener to which one client has come.
type oneConnection struct {
	net.Conn
	taken chan struct{}
	once  sync.Once
}

func (l *oneConnection) Accept() (c net.Conn, err error) {
	err = net.ErrClosed
	l.once.Do(func() { c, err = l.Conn, nil })
	if err != nil {
		<-l.taken
	}
	return c, err
}

func (l *oneConnection) Close() error {
	close(l.taken)
	return nil
}

func (l *oneConnection) Addr() net.Addr { return l.LocalAddr() }
