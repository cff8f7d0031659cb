package admission

import (
	"encoding/base64"
	"slices"
	"strconv"

	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/internal/answer"
)

// Response is a verdict in the making. Its methods return it, so that calls can be strung together.
type Response struct {
	allowed     bool
	code        int
	reason      string
	message     string
	warnings    []string
	annotations []pair
	patch       []byte   // a JSON array without its last bracket
	made        []string // the maps in metadata that patch adds: labels, annotations
	failure     string   // why there is no verdict
}

type pair struct{ key, value string }

// Allow lets the request pass.
func Allow() *Response { return &Response{allowed: true} }

// Deny refuses the request with 403 Forbidden; the client sees message after the plugin's name.
func Deny(message string) *Response {
	return &Response{code: 403, reason: "Forbidden", message: message}
}

// Fail says that the plugin cannot decide, and why. The request is denied unless the plugin's configuration says otherwise.
// Nothing else of the response counts.
func Fail(why string) *Response { return &Response{failure: answer.Why(why)} }

// Code replaces a denial's HTTP status and its reason, such as 422 and Invalid.
func (r *Response) Code(code int, reason string) *Response {
	r.code, r.reason = code, reason
	return r
}

// Warn adds a warning that the client shows its user.
func (r *Response) Warn(message string) *Response {
	r.warnings = append(r.warnings, message)
	return r
}

// Audit adds an annotation to the request's audit event; the server puts the plugin's name before the key.
func (r *Response) Audit(key, value string) *Response {
	r.annotations = append(r.annotations, pair{key, value})
	return r
}

// SetLabel patches a label of the object, unless it has that value already.
func (r *Response) SetLabel(req *Request, key, value string) *Response {
	return r.setIn(req, "labels", key, value)
}

// SetAnnotation patches an annotation of the object, unless it has that value already.
func (r *Response) SetAnnotation(req *Request, key, value string) *Response {
	return r.setIn(req, "annotations", key, value)
}

func (r *Response) setIn(req *Request, set, key, value string) *Response {
	if old := req.Object("metadata", set, key); old.Exists() && old.Text() == value {
		return r
	}
	if !slices.Contains(r.made, set) && !req.Object("metadata", set).Exists() {
		r.made = append(r.made, set)
		r.Patch("add", gatehouse.Pointer("metadata", set), "{}")
	}
	return r.Patch("add", gatehouse.Pointer("metadata", set, key), string(answer.Quote(nil, value)))
}

// Patch adds one JSON patch operation (RFC 6902). The path is relative to the object; value is JSON, and "" for a remove.
func (r *Response) Patch(op, path, value string) *Response {
	if r.patch == nil {
		r.patch = append(r.patch, '[')
	} else {
		r.patch = append(r.patch, ',')
	}
	r.patch = answer.Quote(append(r.patch, `{"op":`...), op)
	r.patch = answer.Quote(append(r.patch, `,"path":`...), path)
	if value != "" {
		r.patch = append(append(r.patch, `,"value":`...), value...)
	}
	r.patch = append(r.patch, '}')
	return r
}

// encode writes the AdmissionReview that carries the response.
func (r *Response) encode(uid string) []byte {
	if r.failure != "" {
		return answer.Failure(r.failure)
	}
	b := answer.Begin("admission.k8s.io/v1", "AdmissionReview", "response")
	b = answer.Quote(answer.Name(b, "uid"), uid)
	b = answer.Bool(b, "allowed", r.allowed)
	if !r.allowed {
		b = append(answer.Name(b, "status"), '{')
		b = strconv.AppendInt(answer.Name(b, "code"), int64(r.code), 10)
		b = answer.Text(b, "reason", r.reason)
		b = append(answer.Text(b, "message", r.message), '}')
	}
	if r.patch != nil {
		b = answer.Text(b, "patchType", "JSONPatch")
		b = append(answer.Name(b, "patch"), '"')
		b = append(base64.StdEncoding.AppendEncode(b, append(r.patch, ']')), '"')
	}
	b = answer.Texts(b, "warnings", r.warnings)
	if len(r.annotations) > 0 {
		b = append(answer.Name(b, "auditAnnotations"), '{')
		for _, a := range r.annotations {
			b = answer.Quote(answer.Name(b, a.key), a.value)
		}
		b = append(b, '}')
	}
	return answer.End(b)
}
