package authentication

import (
	"strings"
	"testing"

	"gatehouse/sdk/go/internal/host"
)

// fields makes the host answer look-ups from a map; the rest is absent.
func fields(t *testing.T, known map[string]string) {
	host.Fake.Field = func(pointer string) (uint32, string) {
		text, ok := known[pointer]
		if !ok {
			return 0, ""
		}
		return 4, text
	}
	t.Cleanup(func() { host.Fake.Field = nil })
}

func TestHeadersAreFoundWhateverTheirCase(t *testing.T) {
	fields(t, map[string]string{"/spec/headers/X-Api-Key/0": "one", "/spec/headers/X-Api-Key/1": "two"})
	r := &Request{}
	for _, name := range []string{"X-Api-Key", "x-api-key", "X-API-KEY"} {
		if got := r.Header(name); got != "one" {
			t.Errorf("the header %s is %q", name, got)
		}
		if got := strings.Join(r.Headers(name), ","); got != "one,two" {
			t.Errorf("the headers %s are %q", name, got)
		}
	}
	if got := r.Headers("Other"); got != nil {
		t.Errorf("a header that is not there is %q", got)
	}
}

func TestAnswersAreReviewsOfTheKindThatWasAsked(t *testing.T) {
	fields(t, map[string]string{"/apiVersion": "gatehouse.dev/v1", "/kind": "RequestReview"})
	const review1 = `{"apiVersion":"gatehouse.dev/v1","kind":"RequestReview","status":{"authenticated":`
	for _, test := range []struct {
		name    string
		handler Handler
		want    string
	}{
		{"somebody", func(*Request) *Response {
			return Accept("jane").UID("1").Groups("a").Groups("b").Extra("k", "v").Audiences("x")
		}, review1 + `true,"user":{"username":"jane","uid":"1","groups":["a","b"],"extra":{"k":["v"]}},"audiences":["x"]}}`},
		{"no opinion", func(*Request) *Response { return NoOpinion() }, review1 + `false}}`},
		{"wrong", func(*Request) *Response { return Reject("old") }, review1 + `false,"error":"old"}}`},
		{"a failure without a reason", func(*Request) *Response { return Fail("") },
			`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"it does not say why"}`},
		{"no response", func(*Request) *Response { return nil },
			`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"the plugin's handler returned no response"}`},
		{"no handler", nil, `{"apiVersion":"v1","kind":"Status","status":"Failure","message":` +
			`"the plugin has no authentication handler: call authentication.Handle in an init function"}`},
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
