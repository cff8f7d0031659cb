// Package authentication makes a plugin an authenticator: it is asked who sent a request, by a bearer token or by whatever
// else of the request the plugin's configuration lets it see.
//
//	func init() { authentication.Handle(byKey) }
//
//	func byKey(r *authentication.Request) *authentication.Response {
//		switch r.Header("X-Api-Key") {
//		case "":
//			return authentication.NoOpinion()
//		case "s3cret":
//			return authentication.Accept("jane").Groups("devs")
//		default:
//			return authentication.Reject("no such key")
//		}
//	}
package authentication

import (
	"encoding/base64"

	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/internal/answer"
)

// Request is the review at hand. Its methods ask the server, which has the review decoded; nothing is parsed here. It is
// good until the handler returns.
type Request struct{ review []byte }

// Token is the bearer token that is asked about, and "" if it is not about one but about the rest of a request: then, and
// only then, the methods from Method to ClientCertificates know something.
func (r *Request) Token() string { return text("token") }

// Method is the HTTP method, such as GET.
func (r *Request) Method() string { return text("method") }

// Path is the URL's path, Query what follows its question mark if the plugin's configuration asks for that.
func (r *Request) Path() string  { return text("path") }
func (r *Request) Query() string { return text("query") }

// Host is the name and mostly the port by which the client reached the server.
func (r *Request) Host() string { return text("host") }

// RemoteAddress is the peer's address and port; the peer may be a proxy.
func (r *Request) RemoteAddress() string { return text("remoteAddress") }

// Header is the first value of a header, whatever the case of its name; "" without it, or if the plugin's configuration does
// not name it.
func (r *Request) Header(name string) string { return text("headers", canonical(name), "0") }

// Headers are all values of a header.
func (r *Request) Headers(name string) []string { return texts("headers", canonical(name)) }

// ClientCertificates are the client's, its own first, in DER, if the plugin's configuration asks for them. Nobody has verified
// who signed them: only that the client has the key of the first is certain.
func (r *Request) ClientCertificates() [][]byte {
	var chain [][]byte
	for _, encoded := range texts("clientCertificates") {
		der, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			panic("authentication: the server sent a certificate that is no base64")
		}
		chain = append(chain, der)
	}
	return chain
}

// Audiences are those that the credentials should be meant for.
func (r *Request) Audiences() []string { return texts("audiences") }

// Review is the whole TokenReview or RequestReview as JSON, for those who want to parse it. It is overwritten by the next
// call.
func (r *Request) Review() []byte { return r.review }

func text(path ...string) string { return gatehouse.Field("/spec" + gatehouse.Pointer(path...)).Text() }

func texts(path ...string) []string { return gatehouse.Texts("/spec" + gatehouse.Pointer(path...)) }

// canonical is a header's name as reviews have it: capitals at the beginning and after each hyphen.
func canonical(name string) string {
	b := []byte(name)
	first := true
	for i, c := range b {
		switch {
		case first && 'a' <= c && c <= 'z':
			b[i] = c - 'a' + 'A'
		case !first && 'A' <= c && c <= 'Z':
			b[i] = c - 'A' + 'a'
		}
		first = c == '-'
	}
	return string(b)
}

// Handler decides about one request. It must not keep the request. A nil response is a failure, and so is a panic.
type Handler func(*Request) *Response

// handler is what Handle registered. A guest runs on one thread, nothing need guard it.
var handler Handler

// Handle registers the plugin's handler; call it from an init function.
func Handle(h Handler) { handler = h }

// review answers one TokenReview or RequestReview.
func review(payload []byte) []byte {
	if handler == nil {
		return answer.Failure("the plugin has no authentication handler: call authentication.Handle in an init function")
	}
	response := handler(&Request{review: payload})
	if response == nil {
		return answer.Failure("the plugin's handler returned no response")
	}
	return response.encode(gatehouse.Field("/apiVersion").Text(), gatehouse.Field("/kind").Text())
}
