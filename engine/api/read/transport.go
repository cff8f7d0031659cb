package read

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/http"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/net/websocket"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"gatehouse/engine/objects/cache"
)

// A stream writes whole frames to an http.ResponseWriter and flushes them. What stands here takes that writer's place where a
// watch does not go out as plain HTTP.

// transport serves the watch the way the client wants it brought.
func (s *stream) transport(view cache.View, start watchStart) {
	switch {
	case wsstream.IsWebSocketRequest(s.request):
		s.overWebsocket(view, start)
	case s.compresses(start):
		compressed := &compressedWriter{ResponseWriter: s.writer, flusher: s.flusher, buffers: s.reader.buffers}
		defer compressed.close()
		s.writer, s.flusher = compressed, compressed
		s.serve(view, start)
	default:
		s.serve(view, start)
	}
}

// compresses says whether upstream would compress the watch: one that begins with all there is, if the client takes it.
func (s *stream) compresses(start watchStart) bool {
	return start.endBookmark && responsewriters.ContentEncodingSupported(s.request, features.WatchListCompression) == "gzip"
}

// compressedWriter compresses a watch. All that is flushed together is a gzip member of its own, as with upstream, so that
// nothing is kept for the stream between its events.
type compressedWriter struct {
	http.ResponseWriter
	flusher http.Flusher
	buffers *buffers
	member  *member // being written; nil between flushes
}

// member is what it takes to write one gzip member, in large pieces.
type member struct {
	out        *bufio.Writer
	compressor *gzip.Writer
	// stored says that the compressor only wraps. Below gzipThreshold that is all that is worth while on a LAN: an event would
	// have to be compressed for each of its watchers anew.
	stored bool
}

func (c *compressedWriter) WriteHeader(status int) {
	c.Header().Set("Content-Encoding", "gzip")
	c.Header().Add("Vary", "Accept-Encoding")
	c.ResponseWriter.WriteHeader(status)
}

func (c *compressedWriter) Write(p []byte) (int, error) {
	if c.member == nil {
		c.member = c.buffers.newMember(c.ResponseWriter, len(p) < gzipThreshold)
	}
	return c.member.compressor.Write(p)
}

// Flush ends the member. The first flush, within, makes its data readable without the beginning of the next.
func (c *compressedWriter) Flush() {
	if c.member == nil {
		c.flusher.Flush()
		return
	}
	err := errors.Join(c.member.compressor.Flush(), c.member.compressor.Close(), c.member.out.Flush())
	c.buffers.endMember(c.member, err)
	c.member = nil
	if err == nil {
		c.flusher.Flush()
	}
}

// close gives back what a stream that ended within a member holds.
func (c *compressedWriter) close() {
	if c.member != nil {
		c.buffers.endMember(c.member, errGone)
		c.member = nil
	}
}

func (p *buffers) newMember(w http.ResponseWriter, stored bool) *member {
	m := &member{out: p.writers.Get().(*bufio.Writer), stored: stored}
	if stored {
		m.compressor = p.wrappers.Get().(*gzip.Writer)
	} else {
		m.compressor = p.compressors.Get().(*gzip.Writer)
	}
	m.out.Reset(w)
	m.compressor.Reset(m.out)
	return m
}

// endMember takes the buffers back. After an error the connection may still be reading the one that was written.
func (p *buffers) endMember(m *member, err error) {
	m.compressor.Reset(nil)
	if m.stored {
		p.wrappers.Put(m.compressor)
	} else {
		p.compressors.Put(m.compressor)
	}
	if err == nil {
		m.out.Reset(nil)
		p.writers.Put(m.out)
	}
}

// overWebsocket serves the watch as messages of a websocket, one for each event. What the client sends is of no interest, but
// that it has gone.
func (s *stream) overWebsocket(view cache.View, start watchStart) {
	writer, request := s.writer, s.request
	websocket.Handler(func(conn *websocket.Conn) {
		// Once the connection is taken over, the request's context does not end with it any more.
		ctx, gone := context.WithCancel(request.Context())
		received := make(chan struct{})
		go func() {
			defer close(received)
			defer gone()
			wsstream.IgnoreReceives(conn, 0)
		}()
		messages := &messageWriter{conn: conn, binary: s.encoding != cache.JSON}
		s.request, s.writer, s.flusher = request.WithContext(ctx), messages, messages
		s.serve(view, start)
		_ = conn.Close() // nobody could be told, and the receiver ends in any case
		<-received
	}).ServeHTTP(writer, request)
}

// messageWriter sends each frame of a watch as a message: JSON as text, protobuf without the length before it.
type messageWriter struct {
	conn   *websocket.Conn
	binary bool
	header http.Header
}

// Header is of no effect: the headers went out with the handshake.
func (m *messageWriter) Header() http.Header {
	if m.header == nil {
		m.header = http.Header{}
	}
	return m.header
}

// WriteHeader has nothing to do; see Header.
func (m *messageWriter) WriteHeader(int) {}

// Flush has nothing to do: each message is sent when it is written.
func (m *messageWriter) Flush() {}

// Write sends whole frames.
func (m *messageWriter) Write(frames []byte) (int, error) {
	for rest := frames; len(rest) > 0; {
		var err error
		if m.binary {
			end := frameLengthSize + int(binary.BigEndian.Uint32(rest))
			err = websocket.Message.Send(m.conn, rest[frameLengthSize:end])
			rest = rest[end:]
		} else {
			end := bytes.IndexByte(rest, '\n') + 1
			err = websocket.Message.Send(m.conn, string(rest[:end]))
			rest = rest[end:]
		}
		if err != nil {
			return len(frames) - len(rest), err
		}
	}
	return len(frames), nil
}
