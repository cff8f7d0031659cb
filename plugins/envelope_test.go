package plugins

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestReviewsAreEncodedAsUpstreamDoes(t *testing.T) {
	const confusing = `</script> & "object":null,"oldObject":null,"dryRun":true,"options":null}}`
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{"a": confusing}},
	}
	custom := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Thing", "text": confusing}}
	options := &metav1.CreateOptions{FieldManager: confusing}
	for _, test := range []struct {
		name                 string
		object, old, options runtime.Object
		dryRun               bool
	}{
		{name: "nothing"},
		{name: "a new object", object: pod, options: options},
		{name: "a dry run", object: pod, options: options, dryRun: true},
		{name: "an update", object: pod, old: pod, options: options},
		{name: "what is deleted", old: pod},
		{name: "an object of a custom resource", object: custom, old: custom, options: options},
	} {
		t.Run(test.name, func(t *testing.T) {
			review := &admissionv1.AdmissionReview{TypeMeta: reviewType(), Request: &admissionv1.AdmissionRequest{
				UID: "u-1", Name: confusing, UserInfo: authenticationv1.UserInfo{Username: confusing}, DryRun: &test.dryRun,
				Object: runtime.RawExtension{Object: test.object}, OldObject: runtime.RawExtension{Object: test.old},
				Options: runtime.RawExtension{Object: test.options},
			}}
			want, err := json.Marshal(review)
			if err != nil {
				t.Fatal(err)
			}
			got, err := encodeReview(review)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("the review (-want +got):\n%s", diff)
			}
		})
	}
}
