// Package loopback lets the server be its own client: requests of its controllers and registries go straight to the handler,
// through no socket, no TLS and no serialisation of headers, and streams come back as they are written.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// host stands in URLs and in requests' Host; nothing is ever looked up or dialled under this name.
const host = "gatehouse.loopback"

// manager is who owns the fields of the objects that the server makes itself: what clients know the API server by.
const manager = "kube-apiserver"

// ErrNotServing answers requests made before Serve was called.
var ErrNotServing = errors.New("the server does not serve yet")

// mark is in the context of requests that came through a Transport. No client can put it there.
type mark struct{}

// Passed says whether a request came through a Transport: whether the server made it itself.
func Passed(ctx context.Context) bool { return ctx.Value(mark{}) != nil }

// Transport is an http.RoundTripper that calls a handler in this process. It is safe for concurrent use. The handler runs on
// a goroutine of its own, which ends when it returns; closing the response's body or ending the request's context tells it
// to.
type Transport struct {
	handler atomic.Pointer[http.Handler]
}

// Serve sets the handler that requests go to.
func (t *Transport) Serve(handler http.Handler) { t.handler.Store(&handler) }

// Config makes a client configuration that goes through t, in protobuf and without a rate limit.
func (t *Transport) Config() *rest.Config {
	return &rest.Config{
		Host:      "https://" + host,
		Transport: t,
		QPS:       -1,
		UserAgent: manager,
		// Warnings are for clients; that upstream's controllers still write Endpoints is nothing we could change.
		WarningHandlerWithContext: rest.NoWarnings{},
		ContentConfig: rest.ContentConfig{
			ContentType:        runtime.ContentTypeProtobuf,
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
		},
	}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	handler := t.handler.Load()
	if handler == nil {
		return nil, fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, ErrNotServing)
	}
	// The request lives no longer than its client's context but has none of its values: what is known of a request that it
	// is made for (who asks, what is audited) is not true of it.
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), mark{}, true))
	release := context.AfterFunc(request.Context(), cancel)
	reader, writer := io.Pipe()
	w := &responseWriter{header: http.Header{}, body: writer, started: make(chan struct{})}
	go func() {
		defer cancel()
		if request.Body != nil {
			defer request.Body.Close()
		}
		defer release()
		defer w.finish()
		defer func() {
			// The handler recovers its own panics; one that still arrives here (http.ErrAbortHandler) ends the stream, not the process.
			if cause := recover(); cause != nil {
				w.abort(fmt.Errorf("%s %s aborted: %v", request.Method, request.URL.Path, cause))
			}
		}()
		(*handler).ServeHTTP(w, serverSide(ctx, request))
	}()

	select {
	case <-w.started:
	case <-request.Context().Done():
		cancel()
		reader.CloseWithError(request.Context().Err())
		return nil, request.Context().Err()
	}
	if w.failure != nil {
		return nil, w.failure
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode:    w.status,
		Proto:         "HTTP/2.0",
		ProtoMajor:    2,
		Header:        w.sent,
		Body:          &body{PipeReader: reader, cancel: cancel},
		ContentLength: -1,
		Request:       request,
	}, nil
}

// serverSide is the client's request as a server would see it.
func serverSide(ctx context.Context, request *http.Request) *http.Request {
	r := request.Clone(ctx)
	r.RequestURI = request.URL.RequestURI()
	r.URL = &url.URL{Path: request.URL.Path, RawPath: request.URL.RawPath, RawQuery: request.URL.RawQuery}
	r.Host = host
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	if r.Body == nil {
		r.Body = http.NoBody
	}
	return r
}

// body ends the handler's context when its reader closes it.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// responseWriter hands the response over as soon as its header is written. It belongs to the handler's goroutine; started
// publishes status and sent to the client's.
type responseWriter struct {
	header  http.Header
	body    *io.PipeWriter
	start   sync.Once
	started chan struct{}

	// status and sent, a snapshot of header, or else failure are written before started closes and read only after.
	status  int
	sent    http.Header
	failure error
}

var _ http.Flusher = (*responseWriter)(nil)

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if status < http.StatusOK {
		return // informational; the final one follows
	}
	w.start.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.started)
	})
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush sends the header; the body needs no flushing, a pipe holds nothing back.
func (w *responseWriter) Flush() { w.WriteHeader(http.StatusOK) }

// abort fails the request if nothing was answered yet, and its body otherwise.
func (w *responseWriter) abort(err error) {
	w.start.Do(func() {
		w.failure = err
		close(w.started)
	})
	w.body.CloseWithError(err)
}

func (w *responseWriter) finish() {
	w.WriteHeader(http.StatusOK)
	w.body.Close()
}
