package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/websocket"
)

// compareWatches follows the same changes on both paths: upstream's from the store's history, ours from the window.
func (p *twoPaths) compareWatches(t *testing.T, kind servedKind, accept string, after int64) {
	all := objectsPerKind*3 + 1
	for _, watch := range []struct {
		query  string
		events int
	}{
		{fmt.Sprintf("?watch=true&resourceVersion=%d", after), all},
		// Objects leave and come back; those that began as odd come in at first and the others with their first change.
		{fmt.Sprintf("?watch=true&resourceVersion=%d&labelSelector=parity%%3Dodd", after), objectsPerKind * 5 / 2},
		{fmt.Sprintf("?watch=true&resourceVersion=%d&fieldSelector=metadata.name%%3Dobject-1", after), 4},
		{"?watch=true", objectsPerKind - 1},
		{"?watch=true&resourceVersion=0", objectsPerKind - 1},
		{"?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", objectsPerKind},
	} {
		p.compareWatch(t, kind.path("")+watch.query, accept, watch.events)
	}
}

// compareWatch follows a watch on both paths and expects the same, and from the cache.
func (p *twoPaths) compareWatch(t *testing.T, path, accept string, events int) {
	t.Helper()
	before := p.reads.Answered()
	want := follow(t, p.handled, path, accept, events)
	got := follow(t, p.cached, path, accept, events)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("watch %s, %s (-upstream +cache):\n%s", path, accept, diff)
	}
	if p.reads.Answered() != before+1 {
		t.Errorf("watch %s, %s: left to upstream: %v", path, accept, p.reads.LeftToUpstream())
	}
}

type followed struct {
	ContentType, Vary string
	Compressed        bool
	Frames            []string
}

// follow reads a number of events of a watch and ends it.
func follow(t *testing.T, server *httptest.Server, path, accept string, events int) followed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	// Go's client asks for compression by itself, and tells whether there was any.
	f := followed{ContentType: response.Header.Get("Content-Type"), Vary: response.Header.Get("Vary"), Compressed: response.Uncompressed}
	body := bufio.NewReader(response.Body)
	for range events {
		frame, err := readFrame(body, strings.HasPrefix(accept, acceptProtobuf))
		if err != nil {
			t.Fatalf("watch %s: after %d of %d events: %v", path, len(f.Frames), events, err)
		}
		f.Frames = append(f.Frames, string(frame))
	}
	return f
}

func readFrame(from *bufio.Reader, binaryFrames bool) ([]byte, error) {
	if !binaryFrames {
		return from.ReadBytes('\n')
	}
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(from, frame)
	return bytes.Join([][]byte{length[:], frame}, nil), err
}

// message is one of a websocket.
type message struct {
	Binary  bool
	Payload string
}

// followMessages reads a number of events of a watch over a websocket and hangs up.
func followMessages(t *testing.T, server *httptest.Server, path, accept string, events int) []message {
	t.Helper()
	config, err := websocket.NewConfig("ws"+strings.TrimPrefix(server.URL, "http")+path, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.Header.Set("Accept", accept)
	connection, err := config.DialContext(t.Context())
	if err != nil {
		t.Fatalf("watch %s by websocket: %v", path, err)
	}
	defer connection.Close()
	codec := websocket.Codec{Unmarshal: func(data []byte, kind byte, v any) error {
		*v.(*message) = message{Binary: kind == websocket.BinaryFrame, Payload: string(data)}
		return nil
	}}
	messages := make([]message, events)
	for n := range messages {
		if err := codec.Receive(connection, &messages[n]); err != nil {
			t.Fatalf("watch %s by websocket: after %d of %d events: %v", path, n, events, err)
		}
	}
	return messages
}

func TestWatchesByWebsocketAreUpstreamsByteForByte(t *testing.T) {
	p := newTwoPaths(t)
	for _, kind := range []servedKind{p.kind(t, "", "pods"), p.kind(t, "", "services"), p.kind(t, "apps", "deployments")} {
		p.compare(t, kind.path(""), acceptJSON)
		after, err := kind.store.GetCurrentResourceVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for n := range objectsPerKind {
			p.change(t, kind, n, n != 1)
		}
		for _, query := range []string{
			fmt.Sprintf("?watch=true&resourceVersion=%d", after),
			"?watch=true",
			"?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
		} {
			for _, accept := range []string{
				acceptJSON, acceptProtobuf, acceptJSON + asMetadata, acceptProtobuf + asMetadata, acceptJSON + ";as=Table;g=meta.k8s.io;v=v1",
			} {
				before, path := p.reads.Answered(), kind.path("")+query
				want := followMessages(t, p.handled, path, accept, objectsPerKind-1)
				if diff := cmp.Diff(want, followMessages(t, p.cached, path, accept, objectsPerKind-1)); diff != "" {
					t.Errorf("watch %s, %s by websocket (-upstream +cache):\n%s", path, accept, diff)
				}
				if p.reads.Answered() != before+1 {
					t.Errorf("watch %s, %s by websocket: left to upstream: %v", path, accept, p.reads.LeftToUpstream())
				}
			}
		}
	}
}
