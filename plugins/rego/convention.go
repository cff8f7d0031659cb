package rego

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"

	"gatehouse/plugins/internal/review"
	"gatehouse/plugins/kubewarden"
	"gatehouse/plugins/sandbox"
)

// input is what the policy sees as such.
func (g *guest) input(request review.Request) ([]byte, error) {
	settings := g.machine.Settings()
	join := func(before string, subject []byte) []byte {
		input := make([]byte, 0, len(before)+len(subject)+len(settings)+32)
		input = append(append(append(input, before...), subject...), `,"parameters":`...)
		return append(append(input, settings...), '}')
	}
	if g.convention == Gatekeeper {
		subject, err := gatekeeperReview(request)
		return join(`{"review":`, subject), err
	}
	return join(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":`, request.JSON), nil
}

// gatekeeperReview is the request with the object that is deleted as its object, for Gatekeeper's policies look nowhere else.
func gatekeeperReview(request review.Request) ([]byte, error) {
	if len(request.Object) > 0 && !bytes.Equal(request.Object, []byte("null")) {
		return request.JSON, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(request.JSON, &members); err != nil {
		return nil, sandbox.Garbledf("the AdmissionReview holds no request: %v", err)
	}
	if old := members["oldObject"]; len(old) > 0 {
		members["object"] = old
	}
	return json.Marshal(members)
}

// response reads the results: a list with the entrypoint's value, or an empty one where it is undefined.
func (g *guest) response(request review.Request, results []byte) (*admissionv1.AdmissionResponse, error) {
	var bindings []struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(results, &bindings); err != nil {
		return nil, sandbox.Garbledf("its result is no JSON: %v", err)
	}
	if len(bindings) == 0 {
		return nil, sandbox.Garbledf("%s is undefined for this request: give the rule a default", g.entrypoint)
	}
	response, err := g.verdict(request, bindings[0].Result)
	if err == nil && g.neverPatches && response.Allowed && len(response.Patch) > 0 {
		return nil, kubewarden.ErrMutates()
	}
	return response, err
}

// verdict understands the value of a rule, or of a package.
func (g *guest) verdict(request review.Request, value json.RawMessage) (*admissionv1.AdmissionResponse, error) {
	var members map[string]json.RawMessage
	var messages []json.RawMessage
	switch {
	case bytes.Equal(value, []byte("true")):
		return request.Allow(), nil
	case bytes.Equal(value, []byte("false")):
		return request.Deny("", 0), nil
	case json.Unmarshal(value, &messages) == nil && messages != nil:
		return deny(request, messages), nil
	case json.Unmarshal(value, &members) == nil && members != nil:
		if response, ok := members["response"]; ok {
			return answered(request, response)
		}
		for _, rule := range []string{"violation", "deny", "allow"} {
			if value, ok := members[rule]; ok && value[0] != '{' {
				return g.verdict(request, value)
			}
		}
	}
	return nil, sandbox.Garbledf("the value of %s is no verdict, neither an AdmissionReview nor a set of messages nor a boolean: %s",
		g.entrypoint, sandbox.Printable(value, 64))
}

// answered reads an AdmissionResponse, of v1beta1, too, where a patch needed no type.
func answered(request review.Request, value json.RawMessage) (*admissionv1.AdmissionResponse, error) {
	var response admissionv1.AdmissionResponse
	if err := json.Unmarshal(value, &response); err != nil {
		return nil, sandbox.Garbledf("its response is no AdmissionResponse: %v", err)
	}
	response.UID = request.UID
	if len(response.Patch) > 0 && response.PatchType == nil {
		kind := admissionv1.PatchTypeJSONPatch
		response.PatchType = &kind
	}
	return &response, nil
}

// deny joins messages; without any there is nothing to deny for.
func deny(request review.Request, messages []json.RawMessage) *admissionv1.AdmissionResponse {
	if len(messages) == 0 {
		return request.Allow()
	}
	all := make([]string, len(messages))
	for i, message := range messages {
		var violation struct {
			Msg string `json:"msg"`
		}
		switch {
		case json.Unmarshal(message, &all[i]) == nil:
		case json.Unmarshal(message, &violation) == nil && violation.Msg != "":
			all[i] = violation.Msg
		default:
			all[i] = string(message)
		}
	}
	slices.Sort(all) // sets have no order
	return request.Deny(strings.Join(all, ", "), 0)
}
