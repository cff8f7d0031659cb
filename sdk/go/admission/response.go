package admission

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	gatehouse "gatehouse/sdk/go"
)

// Response is a verdict in the making. Its methods return it, so that calls can be strung together.
type Response struct {
	allowed     bool
	code        int
	reason      string
	message     string
	warnings    []string
	annotations []pair
	patch       []byte // a JSON array without its last bracket
}

type pair struct{ key, value string }

// Allow lets the request pass.
func Allow() *Response { return &Response{allowed: true} }

// Deny refuses the request with 403 Forbidden; the client sees message after the plugin's name.
func Deny(message string) *Response {
	return &Response{code: 403, reason: "Forbidden", message: message}
}

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
	if !req.Object("metadata", set).Exists() {
		r.Patch("add", gatehouse.Pointer("metadata", set), "{}")
	}
	return r.Patch("add", gatehouse.Pointer("metadata", set, key), string(quote(nil, value)))
}

// Patch adds one JSON patch operation (RFC 6902). The path is relative to the object; value is JSON, and "" for a remove.
func (r *Response) Patch(op, path, value string) *Response {
	if r.patch == nil {
		r.patch = append(r.patch, '[')
	} else {
		r.patch = append(r.patch, ',')
	}
	r.patch = quote(append(r.patch, `{"op":`...), op)
	r.patch = quote(append(r.patch, `,"path":`...), path)
	if value != "" {
		r.patch = append(append(r.patch, `,"value":`...), value...)
	}
	r.patch = append(r.patch, '}')
	return r
}

// encode writes the AdmissionReview that carries the response. It is written by hand because encoding/json would be the
// larger part of a small plugin.
func (r *Response) encode(uid string) []byte {
	b := make([]byte, 0, 512)
	b = append(b, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":`...)
	b = quote(b, uid)
	b = strconv.AppendBool(append(b, `,"allowed":`...), r.allowed)
	if !r.allowed {
		b = strconv.AppendInt(append(b, `,"status":{"code":`...), int64(r.code), 10)
		b = quote(append(b, `,"reason":`...), r.reason)
		b = append(quote(append(b, `,"message":`...), r.message), '}')
	}
	if r.patch != nil {
		b = append(b, `,"patchType":"JSONPatch","patch":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, append(r.patch, ']')), '"')
	}
	for i, warning := range r.warnings {
		b = quote(append(b, open(i, `,"warnings":[`)...), warning)
	}
	if len(r.warnings) > 0 {
		b = append(b, ']')
	}
	for i, a := range r.annotations {
		b = quote(append(b, open(i, `,"auditAnnotations":{`)...), a.key)
		b = quote(append(b, ':'), a.value)
	}
	if len(r.annotations) > 0 {
		b = append(b, '}')
	}
	return append(b, `}}`...)
}

// open is what comes before the i-th element of a list or object.
func open(i int, first string) string {
	if i == 0 {
		return first
	}
	return ","
}

// failure is the answer of a plugin that cannot decide.
func failure(message string) []byte {
	b := quote([]byte(`{"apiVersion":"v1","kind":"Status","status":"Failure","message":`), message)
	return append(b, '}')
}

// quote appends s as a JSON string.
func quote(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r) // what is no UTF-8 became U+FFFD
		}
	}
	return append(b, '"')
}
