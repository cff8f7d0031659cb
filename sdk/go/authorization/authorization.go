// Package authorization makes a plugin an authorizer: it is asked whether a user may do something, and allows it, denies it, or
// leaves it to others.
//
//	func init() { authorization.Handle(ownTeamOnly) }
//
//	func ownTeamOnly(r *authorization.Request) *authorization.Response {
//		if team, ok := strings.CutPrefix(r.Namespace(), "team-"); ok && !slices.Contains(r.Groups(), team) {
//			return authorization.Deny("the namespace belongs to the team " + team)
//		}
//		return authorization.NoOpinion()
//	}
package authorization

import (
	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/internal/answer"
)

// Request is the review at hand. Its methods ask the server, which has the review decoded; nothing is parsed here. It is
// good until the handler returns.
type Request struct{ review []byte }

// User is the name of who asks, UID what tells them from others of that name, Groups what they are in.
func (r *Request) User() string     { return gatehouse.Field("/spec/user").Text() }
func (r *Request) UID() string      { return gatehouse.Field("/spec/uid").Text() }
func (r *Request) Groups() []string { return gatehouse.Texts("/spec/groups") }

// Extra are the values that the user's authenticator gave for a key.
func (r *Request) Extra(key string) []string {
	return gatehouse.Texts("/spec/extra" + gatehouse.Pointer(key))
}

// ForResource reports whether a resource is asked for. If not, all there is are a Path and a Verb.
func (r *Request) ForResource() bool { return gatehouse.Field("/spec/resourceAttributes").Exists() }

// Verb is what is asked for: get, list, watch, create, update, patch, delete, deletecollection and others of a resource, an HTTP
// method in small letters of a path.
func (r *Request) Verb() string {
	if verb := gatehouse.Field("/spec/resourceAttributes/verb"); verb.Exists() {
		return verb.Text()
	}
	return gatehouse.Field("/spec/nonResourceAttributes/verb").Text()
}

// Path is that of a request for no resource.
func (r *Request) Path() string { return gatehouse.Field("/spec/nonResourceAttributes/path").Text() }

// Group, Version, Resource and Subresource are of what is asked for: apps, v1, deployments and scale. The core group is "".
func (r *Request) Group() string       { return resource("group") }
func (r *Request) Version() string     { return resource("version") }
func (r *Request) Resource() string    { return resource("resource") }
func (r *Request) Subresource() string { return resource("subresource") }

// Namespace is "" for what lives in none, and for requests that span all. Name is "" for requests that are for many objects.
func (r *Request) Namespace() string { return resource("namespace") }
func (r *Request) Name() string      { return resource("name") }

// Review is the whole SubjectAccessReview (authorization.k8s.io/v1) as JSON, for those who want to parse it. It is overwritten by
// the next call.
func (r *Request) Review() []byte { return r.review }

func resource(member string) string {
	return gatehouse.Field("/spec/resourceAttributes/" + member).Text()
}

// Response is a verdict.
type Response struct {
	allowed, denied          bool
	reason, trouble, failure string
}

// Allow allows the request: nobody further is asked.
func Allow(reason string) *Response { return &Response{allowed: true, reason: reason} }

// Deny denies the request: nobody further is asked, and the client is told the reason.
func Deny(reason string) *Response { return &Response{denied: true, reason: reason} }

// NoOpinion leaves the request to others.
func NoOpinion() *Response { return &Response{} }

// Fail says that the plugin cannot decide, and why. The request is denied unless the plugin's configuration says otherwise.
func Fail(why string) *Response { return &Response{failure: answer.Why(why)} }

// Because gives a reason, which the client of a request that nobody allows is told.
func (r *Response) Because(reason string) *Response {
	r.reason = reason
	return r
}

// Despite tells what went wrong while the plugin decided all the same.
func (r *Response) Despite(trouble string) *Response {
	r.trouble = trouble
	return r
}

func (r *Response) encode() []byte {
	if r.failure != "" {
		return answer.Failure(r.failure)
	}
	b := answer.Begin("authorization.k8s.io/v1", "SubjectAccessReview", "status")
	b = answer.Bool(b, "allowed", r.allowed)
	if r.denied {
		b = answer.Bool(b, "denied", true)
	}
	b = answer.Text(b, "reason", r.reason)
	b = answer.Text(b, "evaluationError", r.trouble)
	return answer.End(b)
}

// Handler decides about one request. It must not keep the request. A nil response is a failure, and so is a panic: the request
// is denied unless the plugin's configuration says otherwise.
type Handler func(*Request) *Response

// handler is what Handle registered. A guest runs on one thread, nothing need guard it.
var handler Handler

// Handle registers the plugin's handler; call it from an init function.
func Handle(h Handler) { handler = h }

// review answers one SubjectAccessReview.
func review(payload []byte) []byte {
	if handler == nil {
		return answer.Failure("the plugin has no authorization handler: call authorization.Handle in an init function")
	}
	response := handler(&Request{review: payload})
	if response == nil {
		return answer.Failure("the plugin's handler returned no response")
	}
	return response.encode()
}
