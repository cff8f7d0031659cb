// Command owner-label is a gatehouse plugin: every Pod must say who owns it, and those that do are marked.
package main

import (
	"encoding/json"
	"fmt"

	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/admission"
)

// settings may be changed in owner-label.yaml.
var settings = struct {
	// Label is the one that names the owner.
	Label string `json:"label"`
}{Label: "owner"}

func init() {
	gatehouse.OnConfigure(func(b []byte) error { return json.Unmarshal(b, &settings) })
	admission.Handle(requireOwner)
}

func requireOwner(r *admission.Request) *admission.Response {
	if r.Kind() != "Pod" {
		return admission.Allow()
	}
	if r.Object("metadata", "labels", settings.Label).Text() == "" {
		return admission.Deny(fmt.Sprintf("a Pod must say who owns it: add the label %q, "+
			"as in kubectl run --labels=%s=team-a", settings.Label, settings.Label))
	}
	return admission.Allow().SetLabel(r, "gatehouse.dev/admitted-by", "owner-label")
}

func main() {}
