// Command asking is a plugin that asks the server before it decides. It refuses ConfigMaps in namespaces with the label frozen=true. A
// ConfigMap that has the keys ask and with it refuses with what the operation ask answers to the payload with. As an
// authorizer it denies everything, and says whether it would have been allowed without it.
package main

import (
	"encoding/json"
	"fmt"

	gatehouse "gatehouse/sdk/go"
	"gatehouse/sdk/go/admission"
	"gatehouse/sdk/go/authorization"
)

func init() {
	admission.Handle(admit)
	authorization.Handle(authorize)
}

func admit(r *admission.Request) *admission.Response {
	if ask := r.Object("data", "ask"); ask.Exists() {
		answer, err := gatehouse.Call(ask.Text(), []byte(r.Object("data", "with").Text()))
		if err != nil {
			return admission.Deny("failure: " + err.Error())
		}
		return admission.Deny(string(answer))
	}
	frozen, err := isFrozen(r.Namespace())
	switch {
	case err != nil:
		return admission.Fail(err.Error())
	case frozen:
		return admission.Deny("the namespace is frozen")
	}
	return admission.Allow()
}

func isFrozen(namespace string) (bool, error) {
	asked, err := json.Marshal(map[string]string{"apiVersion": "v1", "kind": "Namespace", "name": namespace})
	if err != nil {
		return false, err
	}
	answer, err := gatehouse.Call("k8s.get", asked)
	if err != nil {
		return false, err
	}
	var found struct {
		Object struct {
			Metadata struct {
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
		} `json:"object"`
	}
	if err := json.Unmarshal(answer, &found); err != nil {
		return false, err
	}
	return found.Object.Metadata.Labels["frozen"] == "true", nil
}

func authorize(*authorization.Request) *authorization.Response {
	answer, err := gatehouse.Call("authz.can_i", []byte(gatehouse.Field("/spec").Text()))
	if err != nil {
		return authorization.Fail(err.Error())
	}
	return authorization.Deny(fmt.Sprintf("without me it would be %s", answer))
}

func main() {}
