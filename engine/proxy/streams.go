package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"

	"k8s.io/streaming/pkg/httpstream"
)

// streamKey is the key under which a request's context holds itself if its connection is to be upgraded.
type streamKey struct{}

// streamOf is the context of the stream that ctx belongs to, nil if it belongs to none.
func streamOf(ctx context.Context) context.Context {
	stream, _ := ctx.Value(streamKey{}).(context.Context)
	return stream
}

// endWith closes a connection when its stream has ended, and does nothing if there is none. Streams always end.
func endWith(stream context.Context, connection io.Closer) {
	if stream != nil {
		context.AfterFunc(stream, func() { _ = connection.Close() }) // most often it has been closed already
	}
}

// Stream prepares a request that asks to upgrade its connection, and returns others as they are. When the request's context ends,
// the connection that a handler takes over from w is closed, and those that it opens by Transports: upstream's handlers copy
// between the two for as long as both are there, and wait as long for a kubelet that says nothing.
//
// The context must end when the handler returns.
func Stream(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
	if r.ProtoMajor != 1 || !httpstream.IsUpgradeRequest(r) {
		return w, r
	}
	return &upgradable{ResponseWriter: w, stream: r.Context()},
		r.WithContext(context.WithValue(r.Context(), streamKey{}, r.Context()))
}

// upgradable is the response to a request whose connection can be taken over.
type upgradable struct {
	http.ResponseWriter
	stream context.Context
}

var (
	_ http.Hijacker = (*upgradable)(nil)
	_ http.Flusher  = (*upgradable)(nil)
)

// Unwrap is for http.ResponseController.
func (u *upgradable) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// Flush implements http.Flusher.
func (u *upgradable) Flush() {
	_ = http.NewResponseController(u.ResponseWriter).Flush() // what cannot be flushed comes later
}

// Hijack implements http.Hijacker.
func (u *upgradable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	connection, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err == nil {
		endWith(u.stream, connection)
	}
	return connection, buffered, err
}
