package kubewarden

import (
	"errors"
	"testing"

	"gatehouse/plugins/sandbox"
)

// FuzzAnswers has a policy answer whatever it is given: that is a verdict, or its fault.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		"", "null", "[]", "{}", `{"accepted":true}`, `{"accepted":false,"message":"no","code":65535,"warnings":["a"],"audit_annotations":{"a":"b"}}`,
		`{"accepted":true,"mutated_object":{"apiVersion":"v1","kind":"Pod","spec":{"a":[1,2]}}}`, `{"accepted":true,"mutated_object":[]}`,
		`{"accepted":true,"mutated_object":null}`, `{"accepted":"yes"}`, `{"accepted":true,"code":-1}`, `{"valid":true}`, `{"valid":false,"message":"\u0000\n"}`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	const payload = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"4711","operation":"CREATE",` +
		`"object":{"apiVersion":"v1","kind":"Pod","spec":{"a":[1]}},"oldObject":null,"options":null}}`
	f.Fuzz(func(t *testing.T, answer []byte) {
		ask := func(string, []byte) ([]byte, error) { return answer, nil }
		response, err := judge(ask, nil, []byte(payload), []byte("{}"))
		var fault *sandbox.Fault
		if err != nil && !errors.As(err, &fault) {
			t.Errorf("judging: got %v, want a fault", err)
		}
		if (err == nil) != (len(response) > 0) {
			t.Errorf("judging: got %q and %v", response, err)
		}
		if err := checkSettings(ask, []byte("{}")); err != nil && !errors.As(err, &fault) {
			t.Errorf("settings: got %v, want a fault", err)
		}
	})
}
