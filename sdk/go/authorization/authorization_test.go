package authorization

import "testing"

func TestAnswersAreReviews(t *testing.T) {
	const begin = `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":`
	for _, test := range []struct {
		name    string
		handler Handler
		want    string
	}{
		{"allowed", func(*Request) *Response { return Allow("") }, begin + `true}}`},
		{"denied", func(*Request) *Response { return Deny("no") }, begin + `false,"denied":true,"reason":"no"}}`},
		{"no opinion", func(*Request) *Response { return NoOpinion().Because("not mine").Despite("trouble") },
			begin + `false,"reason":"not mine","evaluationError":"trouble"}}`},
		{"a failure", func(*Request) *Response { return Fail("old") },
			`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"old"}`},
		{"no response", func(*Request) *Response { return nil },
			`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"the plugin's handler returned no response"}`},
		{"no handler", nil, `{"apiVersion":"v1","kind":"Status","status":"Failure","message":` +
			`"the plugin has no authorization handler: call authorization.Handle in an init function"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			Handle(test.handler)
			defer Handle(nil)
			if got := string(review(nil)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
