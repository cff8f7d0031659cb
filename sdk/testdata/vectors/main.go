// Command vectors is the Go SDK's vector guest: sdk/vectors/README.md says what it does.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/admission"
	"gatehouse/sdk/go/authentication"
	"gatehouse/sdk/go/authorization"
)

const outOfDate = `the list is out of date: "ü"`

// prefix is the one setting.
var prefix string

func init() {
	gatehouse.OnConfigure(configure)
	authentication.Handle(authenticate)
	authorization.Handle(authorize)
	admission.Handle(admit)
}

func configure(settings []byte) error {
	var members map[string]any
	if err := json.Unmarshal(settings, &members); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if key != "prefix" {
			return errors.New("unknown setting: " + key)
		}
	}
	value := gatehouse.Field("/prefix")
	if value.Exists() && value.Kind() != gatehouse.String {
		return errors.New("prefix: is no text")
	}
	prefix = value.Text()
	return nil
}

func authenticate(r *authentication.Request) *authentication.Response {
	word := r.Token()
	if word == "" {
		word = r.Header("X-Vector")
	}
	switch word {
	case "accept":
		return authentication.Accept("jane").UID("u-1").Groups("devs", `größe "x"`).Extra("example.com/team", "a", "b")
	case "plain":
		return authentication.Accept("jane")
	case "audience":
		return authentication.Accept("jane").Audiences(r.Audiences()[0])
	case "none":
		return authentication.NoOpinion()
	case "wrong":
		return authentication.Reject("the key has expired")
	case "describe":
		user := authentication.Accept(r.Method()).Groups(r.Path(), r.Query(), r.Host(), r.RemoteAddress()).Groups(r.Headers("X-Vector")...)
		for _, der := range r.ClientCertificates() {
			user.Groups(base64.StdEncoding.EncodeToString(der))
		}
		return user
	case "cannot":
		return authentication.Fail(outOfDate)
	case "trap":
		panic("trapped")
	}
	return authentication.Fail("unknown vector: " + word)
}

func authorize(r *authorization.Request) *authorization.Response {
	switch word := r.User(); word {
	case "allow":
		return authorization.Allow(`because: "ü"`)
	case "deny":
		return authorization.Deny(`because: "ü"`)
	case "none":
		return authorization.NoOpinion()
	case "none-reason":
		return authorization.NoOpinion().Because("not mine")
	case "error":
		return authorization.NoOpinion().Despite("half of it is unknown")
	case "describe":
		facts := []string{r.Verb(), r.Group(), r.Version(), r.Resource(), r.Subresource(), r.Namespace(), r.Name(), r.Path()}
		return authorization.Deny(strings.Join(append(facts, r.Groups()...), ","))
	case "cannot":
		return authorization.Fail(outOfDate)
	case "trap":
		panic("trapped")
	default:
		return authorization.Fail("unknown vector: " + word)
	}
}

func admit(r *admission.Request) *admission.Response {
	data := func(member string) string { return r.Object("data", member).Text() }
	response := admission.Allow()
	switch word := r.Name(); word {
	case "allow":
	case "deny":
		return admission.Deny("no")
	case "deny-status":
		return admission.Deny(data("message")).Code(422, "Invalid")
	case "warn":
		response.Warn("first").Warn(data("warning"))
	case "audit":
		response.Audit("decision", "allowed").Audit("text", data("text"))
	case "label":
		response.SetLabel(r, "example.com/owner", data("owner"))
	case "labels":
		response.SetLabel(r, "example.com/owner", data("owner")).SetLabel(r, "example.com/team", data("owner")).
			SetAnnotation(r, "example.com/~note", data("owner"))
	case "annotation":
		response.SetAnnotation(r, "example.com/~note", data("owner"))
	case "patch":
		text, _ := json.Marshal(data("text"))
		response.Patch("replace", "/data/replaced", "3").Patch("remove", "/data/removed", "").
			Patch("add", gatehouse.Pointer("data", "added/a~b"), string(text))
	case "fields":
		for _, pointer := range gatehouse.Texts("/request/object/pointers") {
			response.Warn(describe(gatehouse.Field(pointer)))
		}
	case "malformed":
		gatehouse.Field("no slash")
	case "describe":
		for _, fact := range []string{r.Operation(), r.Group(), r.Version(), r.Kind(), r.Resource(), r.SubResource(),
			r.Name(), r.Namespace(), r.User(), fmt.Sprint(r.DryRun())} {
			response.Warn(fact)
		}
	case "settings":
		response.Warn(prefix)
	case "echo":
		echo, err := gatehouse.Call("vectors.echo", []byte(data("text")))
		if err != nil {
			return admission.Fail(err.Error())
		}
		response.Warn(string(echo))
	case "unknown-call":
		if _, err := gatehouse.Call("vectors.none", []byte("x")); err != nil {
			response.Warn(err.Error())
		}
	case "log":
		gatehouse.Log(gatehouse.Debug, "debug ü")
		gatehouse.Log(gatehouse.Info, "info")
		gatehouse.Log(gatehouse.Warn, "warning")
		gatehouse.Log(gatehouse.Error, "error")
	case "cannot":
		return admission.Fail(outOfDate)
	case "trap":
		panic("trapped")
	default:
		return admission.Fail("unknown vector: " + word)
	}
	return response
}

// describe is a value's kind as a word, and its text.
func describe(v gatehouse.Value) string {
	kind := []string{"absent", "null", "boolean", "number", "string", "array", "object"}[v.Kind()]
	if !v.Exists() {
		return kind
	}
	return kind + " " + v.Text()
}

func main() {}
