// Package admission makes a plugin an admission controller: it is asked about writes, and allows, changes or denies them.
//
//	func init() { admission.Handle(requireOwner) }
//
//	func requireOwner(r *admission.Request) *admission.Response {
//		if r.Object("metadata", "labels", "owner").Exists() {
//			return admission.Allow()
//		}
//		return admission.Deny("set the label owner")
//	}
package admission

import (
	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/internal/answer"
	"gatehouse/sdk/go/internal/pointer"
)

// Operations a request may be for.
const (
	Create  = "CREATE"
	Update  = "UPDATE"
	Delete  = "DELETE"
	Connect = "CONNECT"
)

// Request is the review at hand. Its methods ask the server, which has the review decoded; nothing is parsed here. It is
// good until the handler returns.
type Request struct{}

// Operation is one of Create, Update, Delete, Connect.
func (r *Request) Operation() string { return r.text("operation") }

// Kind is the object's kind, such as Pod; Group and Version say which.
func (r *Request) Kind() string    { return r.text("kind", "kind") }
func (r *Request) Group() string   { return r.text("kind", "group") }
func (r *Request) Version() string { return r.text("kind", "version") }

// Resource is the plural name in the path, such as pods, and SubResource what follows the object's name there, such as
// status; it is mostly "".
func (r *Request) Resource() string    { return r.text("resource", "resource") }
func (r *Request) SubResource() string { return r.text("subResource") }

// Name may be "" when an object is created whose name the server is to make up.
func (r *Request) Name() string { return r.text("name") }

// Namespace is "" for objects that live in none.
func (r *Request) Namespace() string { return r.text("namespace") }

// User is the name of who asks.
func (r *Request) User() string { return r.text("userInfo", "username") }

// DryRun reports whether nothing will be stored.
func (r *Request) DryRun() bool { return gatehouse.Field("/request/dryRun").Bool() }

// Object looks a field of the object up by its path: Object("spec", "containers", "0", "image"). There is no object when one
// is deleted.
func (r *Request) Object(path ...string) gatehouse.Value {
	return gatehouse.Field(pointer.Join("/request/object", path...))
}

// OldObject looks a field up of the object as it is stored, when it is updated or deleted.
func (r *Request) OldObject(path ...string) gatehouse.Value {
	return gatehouse.Field(pointer.Join("/request/oldObject", path...))
}

// Review is the whole AdmissionReview (admission.k8s.io/v1) as JSON, for those who want to parse it. The server makes it when it is
// asked for, which costs it more than all else of a call.
func (r *Request) Review() []byte { return []byte(gatehouse.Field("").Text()) }

func (r *Request) text(path ...string) string {
	return gatehouse.Field(pointer.Join("/request", path...)).Text()
}

// Handler decides about one request. It must not keep the request. A nil response is a failure, and so is a panic: the request
// is denied unless the plugin's configuration says otherwise.
type Handler func(*Request) *Response

// handler is what Handle registered. A guest runs on one thread, nothing need guard it.
var handler Handler

// Handle registers the plugin's handler; call it from an init function.
func Handle(h Handler) { handler = h }

// review answers one AdmissionReview.
func review() []byte {
	if handler == nil {
		return answer.Failure("the plugin has no admission handler: call admission.Handle in an init function")
	}
	response := handler(&Request{})
	if response == nil {
		return answer.Failure("the plugin's handler returned no response")
	}
	return response.encode(gatehouse.Field("/request/uid").Text())
}
