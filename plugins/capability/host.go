package capability

import (
	"context"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/plugins/sandbox"
)

// Host is what operations need of the server. It must not be changed once it has been given away.
type Host struct {
	// Objects are those of the server; nil when there are none to read.
	Objects Objects
	// Access answers who may do what; nil when nobody knows.
	Access Access
	// Now is the time; nil means time.Now.
	Now func() time.Time
}

// Objects reads what the server stores, as clients would see it. It is used by several goroutines at once.
type Objects interface {
	// Get is the object as JSON, with kind and apiVersion, or nil if there is none. namespace is empty for what lives in none.
	// An answer of more than maxBytes is an error.
	Get(ctx context.Context, kind schema.GroupVersionKind, namespace, name string, maxBytes int64) ([]byte, error)
	// List is the list of all objects as JSON, as a client gets it; of all namespaces when namespace is empty. More than
	// maxObjects objects, or maxBytes, are an error.
	List(ctx context.Context, kind schema.GroupVersionKind, namespace, labelSelector string, maxObjects int, maxBytes int64) ([]byte, error)
	// Changed is a number that is another one when an object of the kind has been written or deleted since. It costs next to nothing.
	Changed(ctx context.Context, kind schema.GroupVersionKind) (int64, error)
}

// Access asks the server's authorizers. It is used by several goroutines at once.
type Access interface {
	// Review answers as the server answers a SubjectAccessReview. ctx has to get to the authorizers as it is: it tells which
	// plugins must not be asked.
	Review(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (authorizationv1.SubjectAccessReviewStatus, error)
}

// The operations' names.
const (
	getOperation        = "k8s.get"
	listOperation       = "k8s.list"
	canIOperation       = "authz.can_i"
	verifyJWTOperation  = "crypto.verify_jwt"
	verifyCertOperation = "crypto.verify_cert"
	fetchOperation      = "http.fetch"
	cacheGetOperation   = "cache.get"
	cacheSetOperation   = "cache.set"
)

// hints are all operations, each with what grants it.
func hints() map[string]string {
	const example = "{apiVersion: v1, kind: Namespace}"
	return map[string]string{
		getOperation:        "capabilities: {k8s: {objects: [" + example + "]}}",
		listOperation:       "capabilities: {k8s: {objects: [" + example + "]}}",
		canIOperation:       "capabilities: {authz: {canI: true}}",
		verifyJWTOperation:  "capabilities: {crypto: {verifyJWT: {}}}",
		verifyCertOperation: "capabilities: {crypto: {verifyCert: true}}",
		fetchOperation:      "capabilities: {http: {urls: [https://example.com/path/]}}",
		cacheGetOperation:   "capabilities: {cache: {}}",
		cacheSetOperation:   "capabilities: {cache: {}}",
	}
}

// Operations are what one plugin reaches by host_call: every operation there is, of which those that are not granted answer how
// to grant them. What they keep for the plugin is kept as long as they are. An error is about the grants and names the key.
func (h Host) Operations(plugin string, grants Grants) (map[string]sandbox.Operation, error) {
	granted, err := h.bind(grants)
	if err != nil {
		return nil, err
	}
	operations := make(map[string]sandbox.Operation, len(hints()))
	for name, hint := range hints() {
		if operation := granted[name]; operation != nil {
			operations[name] = bounded(operation)
		} else {
			operations[name] = refuse(plugin, hint)
		}
	}
	if operation := granted[canIOperation]; operation != nil {
		operations[canIOperation] = bounded(func(ctx context.Context, payload []byte) ([]byte, error) {
			return operation(Asked(ctx, plugin), payload)
		})
	}
	return operations, nil
}

// bind makes the operations that are granted.
func (h *Host) bind(grants Grants) (map[string]sandbox.Operation, error) {
	granted := map[string]sandbox.Operation{}
	now := h.Now
	if now == nil {
		now = time.Now
	}
	if g := grants.Kubernetes; g != nil {
		o, err := newObjects(h.Objects, g)
		if err != nil {
			return nil, fmt.Errorf("k8s.%w", err)
		}
		granted[getOperation], granted[listOperation] = o.get, o.list
	}
	if g := grants.Authorization; g != nil && g.CanI {
		granted[canIOperation] = canI(h.Access)
	}
	if g := grants.Crypto; g != nil {
		if g.VerifyJWT != nil {
			v, err := newTokenVerifier(g.VerifyJWT, now)
			if err != nil {
				return nil, fmt.Errorf("crypto.verifyJWT.%w", err)
			}
			granted[verifyJWTOperation] = v.verify
		}
		if g.VerifyCert {
			granted[verifyCertOperation] = verifyCert(now)
		}
	}
	if g := grants.HTTP; g != nil {
		f, err := newFetcher(g)
		if err != nil {
			return nil, fmt.Errorf("http.%w", err)
		}
		granted[fetchOperation] = f.fetch
	}
	if g := grants.Cache; g != nil {
		c, err := newCache(g, now)
		if err != nil {
			return nil, fmt.Errorf("cache.%w", err)
		}
		granted[cacheGetOperation], granted[cacheSetOperation] = c.get, c.set
	}
	return granted, nil
}

// refuse answers a plugin that may not.
func refuse(plugin, hint string) sandbox.Operation {
	return func(context.Context, []byte) ([]byte, error) {
		return nil, fmt.Errorf("is not granted to this plugin: add to %s.yaml the line `%s`", plugin, hint)
	}
}

// bounded refuses payloads that are too long, and to begin when there is no time left.
func bounded(operation sandbox.Operation) sandbox.Operation {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		if len(payload) > MaxPayload {
			return nil, fmt.Errorf("the payload has %d bytes, at most %d are read", len(payload), MaxPayload)
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		return operation(ctx, payload)
	}
}
