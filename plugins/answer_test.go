package plugins

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	kjson "sigs.k8s.io/json"

	"gatehouse/plugins/sandbox"
)

func FuzzParseAnswer(f *testing.F) {
	const uid = "4711"
	for _, response := range []string{
		`{"uid":"4711","allowed":true}`,
		`{"uid":"4711","allowed":false,"status":{"code":403,"message":"no","details":{"causes":[{"field":"a"}]}}}`,
		`{"uid":"4711","allowed":true,"patchType":"JSONPatch","patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL2EiLCJ2YWx1ZSI6MX1d"}`,
		`{"uid":"4711","allowed":true,"warnings":["a"],"auditAnnotations":{"a":"b"}}`,
		`{"uid":"4711","allowed":true,"object":{"a":[1]}}`, `{"uid":"0","allowed":1e400}`, `null`, `[]`,
	} {
		f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":` + response + `}`))
	}
	f.Add([]byte(`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"m"}`))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		if plain := plainAnswer(data, uid); plain != nil {
			var parsed admissionv1.AdmissionReview
			if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &parsed); err != nil || !reflect.DeepEqual(parsed.Response, plain) {
				t.Errorf("read as %+v, which is %+v (%v)", plain, parsed.Response, err)
			}
		}
		v, err := parseAnswer(data, uid)
		var fault *sandbox.Fault
		switch {
		case err != nil && (!errors.As(err, &fault) || strings.Contains(fault.Cause, "\n")):
			t.Errorf("got %v, want a fault of one line", err)
		case err == nil && (v.AdmissionResponse == nil || v.UID != uid):
			t.Errorf("taken for an answer: %+v", v)
		case err == nil && !v.Allowed:
			if code := denial("p", v.Result).ErrStatus.Code; code < 400 {
				t.Errorf("a denial with the code %d", code)
			}
		case err == nil && len(v.Patch) > 0:
			if steps, err := jsonpatch.DecodePatch(v.Patch); err != nil || len(steps) != v.patch.Len() || len(steps) > maxPatchOperations {
				t.Errorf("a patch of %d operations, or of %d (%v)", len(steps), v.patch.Len(), err)
			}
		}
	})
}

func TestAnswersOfSDKsAreReadWithoutParsing(t *testing.T) {
	const begin = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"4711","allowed":`
	for answer, plain := range map[string]bool{
		`true}}`: true,
		`true,"patchType":"JSONPatch","patch":"W10="}}`:                  true,
		`true,"patchType":"JSONPatch","patch":""}}`:                      false,
		`true,"patchType":"JSONPatch","patch":"W10"}}`:                   false,
		`true,"patchType":"JSONPatch","patch":"W10=\n"}}`:                false,
		`true,"patchType":"JSONPatch","patch":"W10=","warnings":["a"]}}`: false,
		`true,"allowed":false}}`:                                         false,
		`false}}`:                                                        false,
	} {
		if got := plainAnswer([]byte(begin+answer), "4711"); (got != nil) != plain {
			t.Errorf("%s is read as %+v", answer, got)
		}
	}
	if got := plainAnswer([]byte(begin+"true}}"), "47"); got != nil {
		t.Errorf("the answer to another request is read as %+v", got)
	}
}

func TestAPatchCannotMultiplyAnObject(t *testing.T) {
	limitCopies()
	operations := make([]string, 40)
	for i := range operations {
		operations[i] = fmt.Sprintf(`{"op":"copy","from":"/a","path":"/a/x%d"}`, i)
	}
	patch, err := jsonpatch.DecodePatch([]byte("[" + strings.Join(operations, ",") + "]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := patch.Apply([]byte(`{"a":{"text":"some text"}}`)); err == nil {
		t.Error("forty doublings are applied")
	}
}

func TestAPatchOfTooManyOperationsIsRefused(t *testing.T) {
	many := strings.Repeat(`{"op":"remove","path":"/a"},`, maxPatchOperations)
	data := []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"1","allowed":true,"patchType":"JSONPatch","patch":"` +
		base64Of("["+many+`{"op":"remove","path":"/a"}]`) + `"}}`)
	if _, err := parseAnswer(data, "1"); err == nil || !strings.Contains(err.Error(), "has 10001 operations") {
		t.Errorf("got %v, want it refused", err)
	}
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func FuzzParseIdentityAndAccess(f *testing.F) {
	for _, status := range []string{
		`{"authenticated":true,"user":{"username":"jane","groups":["a"],"extra":{"k":["v"]}},"audiences":["x"]}`,
		`{"allowed":true,"reason":"r"}`, `{"denied":true,"evaluationError":"e"}`, `{"authenticated":1e400}`, `null`, `[]`, `"Failure"`,
	} {
		f.Add([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":` + status + `}`))
		f.Add([]byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":` + status + `}`))
	}
	f.Add([]byte(`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"m"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var fault *sandbox.Fault
		if _, err := parseIdentity(data, newTokenReview(t.Context(), "").typeMeta()); err != nil && !errors.As(err, &fault) {
			t.Errorf("an identity: %v is no fault", err)
		}
		var access authorizationv1.SubjectAccessReviewStatus
		if err := parseAccess(data, &access); err != nil && !errors.As(err, &fault) {
			t.Errorf("an access: %v is no fault", err)
		} else if err == nil && access.Allowed && access.Denied {
			t.Error("both allowed and denied")
		}
	})
}
