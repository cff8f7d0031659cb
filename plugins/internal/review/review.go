// Package review takes an AdmissionReview of admission.k8s.io/v1 apart for policies that speak another protocol, and puts their
// verdict into the review that answers it. It keeps the parts as the JSON they came in: no policy needs them decoded here.
package review

import (
	"encoding/json"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatehouse/plugins/sandbox"
)

// Request is what a policy is asked about.
type Request struct {
	// JSON is the AdmissionRequest as it came.
	JSON json.RawMessage
	// UID identifies the request; the answer repeats it.
	UID types.UID
	// Object is the object in JSON; null or empty for a deletion.
	Object json.RawMessage
}

// Parse reads the review that asks.
func Parse(payload []byte) (Request, error) {
	var review struct {
		Request json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(payload, &review); err != nil {
		return Request{}, sandbox.Faultf(sandbox.Garbled, "the request is no AdmissionReview: %v", err)
	}
	var request struct {
		UID    types.UID       `json:"uid"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(review.Request, &request); err != nil {
		return Request{}, sandbox.Faultf(sandbox.Garbled, "the AdmissionReview holds no request: %v", err)
	}
	return Request{JSON: review.Request, UID: request.UID, Object: request.Object}, nil
}

// Allow is the answer of a policy that has nothing against the request.
func (r Request) Allow() *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true}
}

// Deny is the answer of a policy that refuses the request. code 0 leaves the choice to the server.
func (r Request) Deny(message string, code int32) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{UID: r.UID, Result: &metav1.Status{Message: message, Code: code}}
}

// Answer is the review that holds response.
func Answer(response *admissionv1.AdmissionResponse) ([]byte, error) {
	return json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Response: response,
	})
}
