package field_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gatehouse/plugins/field"
	"gatehouse/plugins/sandbox"
)

func TestALookupFindsWhatTheJSONHolds(t *testing.T) {
	for name, object := range objects() {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, object, "", text)
		})
	}
}

// compare looks up everything there is in the JSON of object below pointer, and what there is not.
func compare(t *testing.T, object any, pointer string, text []byte) {
	t.Helper()
	got, err := field.Lookup(object, pointer)
	if err != nil {
		t.Fatalf("%s: %v", pointer, err)
	}
	if diff := cmp.Diff(expect(t, text), canonical(t, got)); diff != "" {
		t.Errorf("%s (-JSON +looked up):\n%s", pointer, diff)
	}
	missing, err := field.Lookup(object, pointer+"/no~0such~1thing")
	if err != nil || missing.Kind != sandbox.Absent {
		t.Errorf("%s/no~0such~1thing: found %v %q, %v", pointer, missing.Kind, missing.Text, err)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) == nil {
		for name, member := range members {
			compare(t, object, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), member)
		}
	}
	var elements []json.RawMessage
	if json.Unmarshal(text, &elements) == nil {
		for i, element := range elements {
			compare(t, object, fmt.Sprintf("%s/%d", pointer, i), element)
		}
	}
}

// expect says how a JSON text should be answered.
func expect(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string " + v
	case bool:
		return fmt.Sprint("boolean ", v)
	case float64:
		return "number " + string(text)
	default:
		return reencode(t, text)
	}
}

func canonical(t *testing.T, v sandbox.Value) string {
	t.Helper()
	switch v.Kind {
	case sandbox.Null:
		return string(v.Text)
	case sandbox.String:
		return "string " + string(v.Text)
	case sandbox.Boolean:
		return "boolean " + string(v.Text)
	case sandbox.Number:
		return "number " + string(v.Text)
	case sandbox.Array, sandbox.Object:
		return reencode(t, v.Text)
	}
	return fmt.Sprintf("kind %d %s", v.Kind, v.Text)
}

// reencode brings members into one order.
func reencode(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	sorted, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(sorted)
}

func objects() map[string]any {
	yes, mode, grace := true, int32(0o644), int64(30)
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name:              "web",
			Labels:            map[string]string{"app.kubernetes.io/name": "web", "tilde~d": "~", "empty": ""},
			CreationTimestamp: metav1.NewTime(time.Unix(1700000000, 0)),
			OwnerReferences:   []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", Controller: &yes}},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}`),
			}},
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "c", Image: "nginx<>&\u2028", Command: []string{},
				Resources:     corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("100m")}},
				LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
					HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("http")}}},
			}},
			TerminationGracePeriodSeconds: &grace,
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: "s", DefaultMode: &mode}}}},
		},
	}
	return map[string]any{
		"a typed Pod":    pod,
		"an empty Pod":   &corev1.Pod{},
		"a Secret":       &corev1.Secret{Data: map[string][]byte{"key": []byte("\x00\xff value")}},
		"a Deployment":   &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}}},
		"delete options": &metav1.DeleteOptions{GracePeriodSeconds: &grace, Preconditions: metav1.NewUIDPreconditions("u")},
		"a user":         &authenticationv1.UserInfo{Username: "jane", Extra: map[string]authenticationv1.ExtraValue{"scopes": {"a", "b"}}},
		"raw JSON":       &runtime.RawExtension{Raw: []byte(`{"a":[1,2.5,null,{"b":true}]}`)},
		"an unstructured object": &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.com/v1", "kind": "Widget",
			"spec": map[string]any{"count": int64(3), "ratio": 0.5, "on": true, "none": nil, "list": []any{"a", map[string]any{"b": "c"}}},
		}},
	}
}

func TestALookupKeepsToTheRFC(t *testing.T) {
	root := map[string]any{"": "empty", "a/b": "slash", "m~n": "tilde", "list": []any{"zero", "one"}, "bytes": []byte("x")}
	for _, test := range []struct {
		name, pointer, want string
	}{
		{"an empty token is a name", "/", "string empty"},
		{"~1 is a slash", "/a~1b", "string slash"},
		{"~0 is a tilde", "/m~0n", "string tilde"},
		{"~01 is a tilde and a one", "/m~01", "kind 0 "},
		{"an index finds its element", "/list/1", "string one"},
		{"an index beyond the end is absent", "/list/2", "kind 0 "},
		{"the place after the last is absent", "/list/-", "kind 0 "},
		{"a leading zero is no index", "/list/01", "kind 0 "},
		{"a sign is no index", "/list/+1", "kind 0 "},
		{"a number too large is no index", "/list/99999999999999999999", "kind 0 "},
		{"there is nothing in a string", "/a~1b/x", "kind 0 "},
		{"bytes are a string", "/bytes", "string eA=="},
		{"there is no element in bytes", "/bytes/0", "kind 0 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := field.Lookup(root, test.pointer)
			if err != nil || canonical(t, got) != test.want {
				t.Errorf("%q finds %q (%v), want %q", test.pointer, canonical(t, got), err, test.want)
			}
		})
	}
	if _, err := field.Lookup(root, "list"); err == nil {
		t.Error("a pointer without a leading slash is taken")
	}
	if got, err := field.Lookup(nil, ""); err != nil || got.Kind != sandbox.Null {
		t.Errorf("nothing at all is %v (%v), want null", got.Kind, err)
	}
	if got, err := field.Lookup((*corev1.Pod)(nil), "/metadata"); err != nil || got.Kind != sandbox.Absent {
		t.Errorf("a field of no Pod is %v (%v), want absent", got.Kind, err)
	}
}

func BenchmarkLookup(b *testing.B) {
	pod := objects()["a typed Pod"]
	for b.Loop() {
		if v, err := field.Lookup(pod, "/metadata/labels/app.kubernetes.io~1name"); err != nil || v.Kind != sandbox.String {
			b.Fatal(v, err)
		}
	}
}

func TestTextsAreEncodedAsTheJSONPackageDoes(t *testing.T) {
	for _, texts := range []map[string]string{
		{}, {"": ""}, {"b": "2", "a": "1", "c": "3"}, {"a/b.c~d": "x y"}, {"a": "<b>"}, {"a": "&"}, {"a\"b": "c"}, {"a": `\`}, {"ä": "ö"},
		{"a": "\xff"}, {"a": "\u2028"}, {"a": "\n"}, {"a": "\x7f"},
	} {
		want, err := json.Marshal(texts)
		if err != nil {
			t.Fatal(err)
		}
		got, err := field.Lookup(map[string]any{"of": texts}, "/of")
		if err != nil || got.Kind != sandbox.Object || string(got.Text) != string(want) {
			t.Errorf("%q is %s (%v), want %s", texts, got.Text, err, want)
		}
	}
}
