package plugins

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"

	"gatehouse/plugins/patch"
	"gatehouse/plugins/sandbox"
)

// maxPatchOperations is what upstream allows a client's JSON patch.
const maxPatchOperations = 10_000

// verdict is a guest's answer, understood.
type verdict struct {
	*admissionv1.AdmissionResponse
	patch patch.Patch // without operations for none
}

// parseAnswer reads the AdmissionReview a guest answers, as strictly as upstream reads a webhook's. An answer that is a
// failed Status is the guest saying that it cannot decide. The verdict holds nothing of data. Every error is a
// *sandbox.Fault.
func parseAnswer(data []byte, uid types.UID) (verdict, error) {
	if response := plainAnswer(data, uid); response != nil {
		p, err := parsePatch(response)
		return verdict{AdmissionResponse: response, patch: p}, err
	}
	// Both kinds of answer at once: no field means one thing in a review and another in a Status.
	var answer struct {
		metav1.TypeMeta `json:",inline"`
		Response        *response `json:"response"`
		Status          string    `json:"status"`
		Message         string    `json:"message"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &answer); err != nil {
		return verdict{}, sandbox.Garbledf("its answer is no AdmissionReview: %s", oneLine(err))
	}
	switch {
	case answer.Kind == "Status" && answer.APIVersion == "v1" && answer.Status == metav1.StatusFailure:
		return verdict{}, refused(answer.Message)
	case answer.TypeMeta != reviewType():
		return verdict{}, sandbox.Garbledf("its answer is no AdmissionReview admission.k8s.io/v1: its kind is %q, its apiVersion %q",
			answer.Kind, answer.APIVersion)
	case answer.Response == nil:
		return verdict{}, sandbox.Garbledf("its answer has no response")
	case answer.Response.UID != uid:
		return verdict{}, sandbox.Garbledf("its answer has the uid %q, the request has %q", answer.Response.UID, uid)
	}
	p, err := answer.Response.change()
	return verdict{AdmissionResponse: &answer.Response.AdmissionResponse, patch: p}, err
}

// response is upstream's, or one that has the whole object as it is to be in place of a patch.
type response struct {
	admissionv1.AdmissionResponse `json:",inline"`
	Object                        json.RawMessage `json:"object"`
}

// change is what the response does to the object. An object in its place is what the patch makes of it that replaces all of it.
func (r *response) change() (patch.Patch, error) {
	if len(r.Object) == 0 || string(r.Object) == "null" {
		return parsePatch(&r.AdmissionResponse)
	}
	if len(r.Patch) > 0 || r.PatchType != nil {
		return patch.Patch{}, sandbox.Garbledf("its answer has a patch and an object, only one of them can be")
	}
	p, err := patch.Parse(slices.Concat([]byte(`[{"op":"replace","path":"","value":`), r.Object, []byte("}]")))
	if err != nil {
		return patch.Patch{}, sandbox.Garbledf("the object in its answer cannot be read: %s", oneLine(err))
	}
	return p, nil
}

// plainAnswer reads the answers that are most of all, as the SDKs write them to the byte: allowed, and perhaps a patch. It is nil for
// any other, which is then parsed; that is a third of what a call costs.
func plainAnswer(data []byte, uid types.UID) *admissionv1.AdmissionResponse {
	rest, ok := bytes.CutPrefix(data, []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"`))
	if !ok || len(rest) < len(uid) || string(rest[:len(uid)]) != string(uid) {
		return nil
	}
	rest, ok = bytes.CutPrefix(rest[len(uid):], []byte(`","allowed":true`))
	if !ok {
		return nil
	}
	response := &admissionv1.AdmissionResponse{UID: uid, Allowed: true}
	if string(rest) == "}}" {
		return response
	}
	encoded, ok := bytes.CutPrefix(rest, []byte(`,"patchType":"JSONPatch","patch":"`))
	if !ok {
		return nil
	}
	if encoded, ok = bytes.CutSuffix(encoded, []byte(`"}}`)); !ok || len(encoded) == 0 || bytes.ContainsAny(encoded, "\\\"\r\n") {
		return nil
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(decoded, encoded)
	if err != nil {
		return nil
	}
	kind := admissionv1.PatchTypeJSONPatch
	response.Patch, response.PatchType = decoded[:n], &kind
	return response
}

// parsePatch reads the patch of a response, which must not be changed any more.
func parsePatch(response *admissionv1.AdmissionResponse) (patch.Patch, error) {
	switch {
	case len(response.Patch) == 0 && response.PatchType == nil:
		return patch.Patch{}, nil
	case response.PatchType == nil:
		return patch.Patch{}, sandbox.Garbledf("its answer has a patch but no patchType")
	case len(response.Patch) == 0:
		return patch.Patch{}, sandbox.Garbledf("its answer has a patchType but no patch")
	case *response.PatchType != admissionv1.PatchTypeJSONPatch:
		return patch.Patch{}, sandbox.Garbledf("its answer has a patch of the type %q, only JSONPatch is known", *response.PatchType)
	}
	p, err := patch.Parse(response.Patch)
	if err != nil {
		return patch.Patch{}, sandbox.Garbledf("its patch is no JSON patch: %s", oneLine(err))
	}
	if p.Len() > maxPatchOperations {
		return patch.Patch{}, sandbox.Garbledf("its patch has %d operations, at most %d are allowed", p.Len(), maxPatchOperations)
	}
	return p, nil
}

// limitCopies sets the library's limit on what a patch's copy operations may add, unless it has been set, as upstream's
// server does: a dozen bytes of patch could otherwise double an object thirty times over.
func limitCopies() {
	const maxCopies = 3 << 20 // the size of the largest request
	atomic.CompareAndSwapInt64(&jsonpatch.AccumulatedCopySizeLimit, 0, maxCopies)
}

// denial is the Status of a request that a plugin has denied, in the words upstream has for webhooks.
func denial(plugin string, result *metav1.Status) *apierrors.StatusError {
	status := metav1.Status{}
	if result != nil {
		status = *result
	}
	if status.Code < http.StatusBadRequest {
		status.Code = http.StatusBadRequest
	}
	if status.Status == "" || status.Status == metav1.StatusSuccess {
		status.Status = metav1.StatusFailure
	}
	by := fmt.Sprintf("admission plugin %q denied the request", plugin)
	switch {
	case status.Message != "":
		status.Message = by + ": " + status.Message
	case status.Reason != "":
		status.Message = by + ": " + string(status.Reason)
	default:
		status.Message = by + " without explanation"
	}
	return &apierrors.StatusError{ErrStatus: status}
}

// parseReview reads the status of the review that a guest answers; the kind must be the one it was asked with. An answer that is a
// failed Status is the guest saying that it cannot decide. status holds nothing of data afterwards. Every error is a
// *sandbox.Fault.
func parseReview(data []byte, want metav1.TypeMeta, status any) error {
	var answer struct {
		metav1.TypeMeta `json:",inline"`
		// Status is an object in a review and a text in a Status.
		Status  json.RawMessage `json:"status"`
		Message string          `json:"message"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &answer); err != nil {
		return sandbox.Garbledf("its answer is no %s: %s", want.Kind, oneLine(err))
	}
	switch {
	case answer.Kind == "Status" && answer.APIVersion == "v1" && string(answer.Status) == `"`+metav1.StatusFailure+`"`:
		return refused(answer.Message)
	case answer.TypeMeta != want:
		return sandbox.Garbledf("its answer is no %s %s: its kind is %q, its apiVersion %q", want.Kind, want.APIVersion, answer.Kind, answer.APIVersion)
	case len(answer.Status) == 0 || answer.Status[0] != '{':
		return sandbox.Garbledf("its answer has no status")
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(answer.Status, status); err != nil {
		return sandbox.Garbledf("its answer is no %s: status: %s", want.Kind, oneLine(err))
	}
	return nil
}

// refused is the fault of a guest that says itself that it cannot decide.
func refused(why string) *sandbox.Fault {
	return &sandbox.Fault{Kind: sandbox.Refused, Cause: "it says: " + oneLine(errors.New(why))}
}
