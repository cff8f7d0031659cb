package engine

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/filters/impersonation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	serverfilters "k8s.io/apiserver/pkg/server/filters"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"gatehouse/engine/authn"
	"gatehouse/engine/authz"
	"gatehouse/engine/leash"
	"gatehouse/engine/pluginapi"
	"gatehouse/engine/proxy"
)

// gate is one step on a request's way: it answers, or hands on to the next.
type gate func(next http.Handler) http.Handler

// inOrder puts gates before a handler; a request passes them as they are listed.
func inOrder(handler http.Handler, gates ...gate) http.Handler {
	for i := len(gates) - 1; i >= 0; i-- {
		handler = gates[i](handler)
	}
	return handler
}

// longRunning are requests that end when the client wants: no deadline, no slot of flow control.
var longRunning = serverfilters.BasicLongRunningRequestCheck(
	sets.NewString("watch", "proxy"),
	sets.NewString("attach", "exec", "proxy", "log", "portforward", pluginapi.ReviewsSubresource),
)

// requestInfo reads what is asked of which resource from the path.
func requestInfo() *request.RequestInfoFactory {
	return &request.RequestInfoFactory{
		APIPrefixes:          sets.NewString("api", "apis"),
		GrouplessAPIPrefixes: sets.NewString("api"),
	}
}

func recoverPanics(next http.Handler) http.Handler {
	return serverfilters.WithPanicRecovery(next, requestInfo())
}

func readRequestInfo(next http.Handler) http.Handler {
	return filters.WithRequestInfo(next, requestInfo())
}

// endWatchesWith ends long-running requests when draining does, so that the server need not wait for its clients.
//
// Watches see by themselves to it that a client that does not read holds nothing up, and that what is written is whole.
func endWatchesWith(draining context.Context) gate {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info, ok := request.RequestInfoFrom(r.Context())
			if !ok || !longRunning(r, info) {
				next.ServeHTTP(w, r)
				return
			}
			// The server's write timeout is for answers that are made and done. It can fail only on a connection that is gone.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(draining, cancel)()
			r = r.WithContext(ctx)
			if info.Verb != "watch" {
				held := leash.New(w, leash.Endless)
				defer held.Release()
				defer context.AfterFunc(ctx, held.Hurry)()
			}
			if passedOn(info) {
				w, r = proxy.Stream(w, r)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// passedOn says whether a connection that the request upgrades would be one with a node, pod or service.
func passedOn(info *request.RequestInfo) bool {
	return info.IsResourceRequest && slices.Contains([]string{"attach", "exec", "portforward", "proxy"}, info.Subresource)
}

// limitBodies ends the reading of a request's body when the request must have been answered: a client that stops sending
// holds neither a handler nor, once the server drains, the server.
func limitBodies(timeout time.Duration) gate {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info, ok := request.RequestInfoFrom(r.Context())
			if r.ContentLength != 0 && !(ok && longRunning(r, info)) {
				// It can fail only on a connection that is gone, and then so is the body.
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
			}
			next.ServeHTTP(w, r)
		})
	}
}

func deadline(timeout time.Duration) gate {
	return func(next http.Handler) http.Handler {
		return filters.WithRequestDeadline(next, nil, nil, longRunning, legacyscheme.Codecs, timeout)
	}
}

// authenticate asks members who it is. A source of too many wrong credentials has to wait before more of them are looked at.
func authenticate(members *authn.Chain, audiences authenticator.Audiences, headers authn.RequestHeaders) gate {
	refuse := filters.Unauthorized(legacyscheme.Codecs)
	if members.TakesPasswords() {
		refuse = challenge(refuse)
	}
	proxies := headers.Config()
	return func(next http.Handler) http.Handler {
		gate := filters.WithAuthentication(next, members, refuse, audiences, proxies)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			wait, done := members.Begin(r)
			switch {
			case wait > 0:
				tooManyAttempts(w, r, wait)
			case done == nil:
				gate.ServeHTTP(w, r)
			default: // credentials that were not seen before
				defer done()
				known := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					done()
					next.ServeHTTP(w, r)
				})
				filters.WithAuthentication(known, members, refuse, audiences, proxies).ServeHTTP(w, r)
			}
		})
	}
}

// challenge has browsers ask for a user and password, as kube-apiserver did when it took them.
func challenge(refuse http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="kubernetes-master"`)
		refuse.ServeHTTP(w, r)
	})
}

// tooManyAttempts answers 429, and says when to come again.
func tooManyAttempts(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	if r.ProtoMajor == 2 {
		w.Header().Set("Connection", "close") // as upstream does for clients that it does not know: HTTP/2 is dear to keep open
	}
	var version schema.GroupVersion
	if info, ok := request.RequestInfoFrom(r.Context()); ok {
		version = schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}
	}
	err := apierrors.NewTooManyRequests("too many wrong credentials came from this address, please try again later", seconds)
	responsewriters.ErrorNegotiated(err, legacyscheme.Codecs, version, w, r)
}

// asServer is the gate that the server's own requests pass instead of authenticate: there is no way to it from outside.
func asServer(next http.Handler) http.Handler {
	self := &user.DefaultInfo{
		Name:   user.APIServerUser,
		Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), self)))
	})
}

func impersonate(members authorizer.UnconditionalAuthorizer) gate {
	return func(next http.Handler) http.Handler {
		return impersonation.WithConstrainedImpersonation(next, members, legacyscheme.Codecs)
	}
}

func limitInFlight(reads, writes int) gate {
	return func(next http.Handler) http.Handler {
		return serverfilters.WithMaxInFlightLimit(next, reads, writes, longRunning)
	}
}

func authorize(members *authz.Chain) gate {
	return func(next http.Handler) http.Handler {
		return filters.WithAuthorization(next, members.Audited(), legacyscheme.Codecs)
	}
}
