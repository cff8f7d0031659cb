package api

import (
	"context"
	"net/http"
	"sync"

	"k8s.io/apiserver/pkg/endpoints/request"
)

// underWay knows the writes that have begun in each namespace and not ended yet. The zero value is ready. It is safe for concurrent
// use.
type underWay struct {
	mu sync.Mutex // guards all below, and the generations
	// present are those that the next write will belong to; there are none for namespaces where nothing is written.
	present map[string]*generation
}

// generation is the writes in a namespace between two moments at which somebody began to wait for them.
type generation struct {
	writes int
	// ended closes with the last write, once no further one can come.
	ended  chan struct{}
	closed bool // to further writes
}

// begin notes that a write has begun. What it returns must be ended.
func (u *underWay) begin(namespace string) *generation {
	u.mu.Lock()
	defer u.mu.Unlock()
	g := u.present[namespace]
	if g == nil {
		if u.present == nil {
			u.present = map[string]*generation{}
		}
		g = &generation{ended: make(chan struct{})}
		u.present[namespace] = g
	}
	g.writes++
	return g
}

func (u *underWay) end(namespace string, g *generation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	g.writes--
	switch {
	case g.writes > 0:
	case g.closed:
		close(g.ended)
	default:
		delete(u.present, namespace)
	}
}

// await returns when all writes that have begun in a namespace have ended, or with the cause for which ctx has. Who gives up
// does not find them again.
func (u *underWay) await(ctx context.Context, namespace string) error {
	u.mu.Lock()
	g := u.present[namespace]
	if g == nil {
		u.mu.Unlock()
		return nil
	}
	g.closed = true
	delete(u.present, namespace)
	u.mu.Unlock()
	select {
	case <-g.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// noted has a handler's writes be waited for.
func (u *underWay) noted(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if info, ok := request.RequestInfoFrom(r.Context()); ok && info.Namespace != "" {
			defer u.end(info.Namespace, u.begin(info.Namespace))
		}
		serve(w, r)
	}
}

// AwaitWrites returns when all writes that have begun in a namespace by now have been answered. Those that were admitted before the
// namespace was to be deleted are in it, or never will be, from then on. Callers take turns for each namespace. The error is ctx's
// cause; the writes themselves are bounded by their deadline.
func (a *API) AwaitWrites(ctx context.Context, namespace string) error {
	return a.underWay.await(ctx, namespace)
}
