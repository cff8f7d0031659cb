package authentication

import "gatehouse/sdk/go/internal/answer"

// Response is a verdict in the making. Its methods return it, so that calls can be strung together.
type Response struct {
	authenticated bool
	username, uid string
	groups        []string
	extra         []extra
	audiences     []string
	wrong         string
	failure       string // why there is no verdict
}

type extra struct {
	key    string
	values []string
}

// Accept lets the request in as the user of that name. Names that begin with "system:" need the server's configuration to allow
// them, also as groups.
func Accept(username string) *Response { return &Response{authenticated: true, username: username} }

// NoOpinion leaves the request to others: there is nothing in it that this plugin knows.
func NoOpinion() *Response { return &Response{} }

// Reject says that the request has credentials of this plugin's kind, and that they are wrong. Others are asked all the same, but
// the request cannot be anonymous any more. What is wrong goes to the server's log.
func Reject(what string) *Response { return &Response{wrong: what} }

// Fail says that the plugin cannot decide, and why.
func Fail(why string) *Response { return &Response{failure: answer.Why(why)} }

// UID tells the user from another who had the same name before.
func (r *Response) UID(uid string) *Response {
	r.uid = uid
	return r
}

// Groups adds groups that the user is in.
func (r *Response) Groups(groups ...string) *Response {
	r.groups = append(r.groups, groups...)
	return r
}

// Extra adds what authorizers may want to know of the user. A key is used once, and begins with a domain of yours.
func (r *Response) Extra(key string, values ...string) *Response {
	r.extra = append(r.extra, extra{key, values})
	return r
}

// Audiences are those of Request.Audiences that the credentials are good for; without any they are good for the server.
func (r *Response) Audiences(audiences ...string) *Response {
	r.audiences = append(r.audiences, audiences...)
	return r
}

// encode writes the review that carries the response.
func (r *Response) encode(apiVersion, kind string) []byte {
	if r.failure != "" {
		return answer.Failure(r.failure)
	}
	b := answer.Begin(apiVersion, kind, "status")
	b = answer.Bool(b, "authenticated", r.authenticated)
	b = answer.Text(b, "error", r.wrong)
	if !r.authenticated {
		return answer.End(b)
	}
	b = append(answer.Name(b, "user"), '{')
	b = answer.Text(b, "username", r.username)
	b = answer.Text(b, "uid", r.uid)
	b = answer.Texts(b, "groups", r.groups)
	if len(r.extra) > 0 {
		b = append(answer.Name(b, "extra"), '{')
		for _, e := range r.extra {
			b = answer.Texts(b, e.key, e.values)
		}
		b = append(b, '}')
	}
	b = append(b, '}')
	b = answer.Texts(b, "audiences", r.audiences)
	return answer.End(b)
}
