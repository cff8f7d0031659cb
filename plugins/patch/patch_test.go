package patch_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"gatehouse/plugins/patch"
)

// pod is one as clients send it, with what the server has added by the time plugins see it.
func pod(t testing.TB) *corev1.Pod {
	t.Helper()
	const text = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default","labels":{"app":"web","owner":"me"},
		"annotations":{"long":"LONG"},"finalizers":["example.com/a","example.com/b"],
		"managedFields":[{"manager":"kubectl","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1",
			"fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:name":{}}}}}}]},
		"spec":{"containers":[{"name":"web","image":"nginx","env":[{"name":"A","value":"1"}],
			"resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"memory":"128Mi"}},
			"livenessProbe":{"httpGet":{"path":"/","port":"http"}},"ports":[{"name":"http","containerPort":80}]}],
			"tolerations":[{"key":"a","operator":"Exists"}]}}`
	made := &corev1.Pod{}
	if err := json.Unmarshal([]byte(strings.Replace(text, "LONG", strings.Repeat("x", 3000), 1)), made); err != nil {
		t.Fatal(err)
	}
	legacyscheme.Scheme.Default(made)
	return made
}

func steps(t testing.TB, text string) patch.Patch {
	t.Helper()
	decoded, err := patch.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func TestPatchesThatPoliciesWriteTakeTheDirectWay(t *testing.T) {
	for name, text := range map[string]string{
		"a label is set":              `[{"op":"add","path":"/metadata/labels/gatehouse.dev~1by","value":"x"}]`,
		"a label is replaced":         `[{"op":"replace","path":"/metadata/labels/app","value":"y"}]`,
		"a label is removed":          `[{"op":"remove","path":"/metadata/labels/app"}]`,
		"all labels are removed":      `[{"op":"remove","path":"/metadata/labels/app"},{"op":"remove","path":"/metadata/labels/owner"}]`,
		"annotations are made anew":   `[{"op":"add","path":"/metadata/annotations","value":{}},{"op":"add","path":"/metadata/annotations/a","value":"b"}]`,
		"annotations come as a whole": `[{"op":"add","path":"/metadata/annotations","value":{"a":"b"}},{"op":"add","path":"/metadata/annotations/c","value":"d"}]`,
		"a finalizer is appended":     `[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/c"}]`,
		"a finalizer is removed":      `[{"op":"test","path":"/metadata/finalizers/0","value":"example.com/a"},{"op":"remove","path":"/metadata/finalizers/0"}]`,
		"an image is replaced":        `[{"op":"replace","path":"/spec/containers/0/image","value":"mirror.example/nginx"}]`,
		"a variable is added":         `[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"B","value":"2"}}]`,
		"a list is made and added to": `[{"op":"add","path":"/spec/volumes","value":[]},{"op":"add","path":"/spec/volumes/-","value":{"name":"v","emptyDir":{}}},{"op":"add","path":"/spec/volumes/-","value":{"name":"w","emptyDir":{}}}]`,
		"a sidecar is put first":      `[{"op":"add","path":"/spec/containers/0","value":{"name":"side","image":"proxy"}}]`,
		"a quantity is set":           `[{"op":"add","path":"/spec/containers/0/resources/limits/cpu","value":"1"}]`,
		"a security context is set":   `[{"op":"add","path":"/spec/containers/0/securityContext","value":{"runAsNonRoot":true}}]`,
		"a number and a flag are set": `[{"op":"add","path":"/spec/priority","value":7},{"op":"add","path":"/spec/hostNetwork","value":true}]`,
		"a port by name or number":    `[{"op":"replace","path":"/spec/containers/0/livenessProbe/httpGet/port","value":8080}]`,
		"what is the same stays so":   `[{"op":"add","path":"/metadata/labels/app","value":"web"}]`,
		"what is undone is no change": `[{"op":"add","path":"/metadata/labels/x","value":"y"},{"op":"replace","path":"/metadata/labels/app","value":"z"},{"op":"replace","path":"/metadata/labels/app","value":"web"}]`,
		"spelling with escapes":       `[{"op":"add","path":"/metadata/labels/\u0061pp","value":"\u0061<b>"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, object := range []runtime.Object{pod(t), custom(t, pod(t))} {
				if !agree(t, object, []byte(text)) {
					t.Errorf("the direct way leaves it to the general one, for %T", object)
				}
			}
		})
	}
}

// TestTheDirectWayKnowsWhatItDoesNotKnow has patches whose meaning hangs on more than the Go object shows.
func TestTheDirectWayKnowsWhatItDoesNotKnow(t *testing.T) {
	for name, text := range map[string]string{
		"null":                              `[{"op":"add","path":"/metadata/labels/a","value":null}]`,
		"no value":                          `[{"op":"add","path":"/metadata/labels/a"}]`,
		"another type":                      `[{"op":"add","path":"/metadata/labels/a","value":1}]`,
		"an unknown field":                  `[{"op":"add","path":"/spec/unknown","value":1}]`,
		"another case":                      `[{"op":"add","path":"/Spec/priority","value":1}]`,
		"a parent that is left out":         `[{"op":"add","path":"/spec/securityContext/seLinuxOptions/level","value":"x"}]`,
		"a list that is left out":           `[{"op":"add","path":"/spec/volumes/-","value":{"name":"v"}}]`,
		"an index from the end":             `[{"op":"remove","path":"/metadata/finalizers/-1"}]`,
		"an index out of range":             `[{"op":"replace","path":"/metadata/finalizers/2","value":"x"}]`,
		"an index with a zero":              `[{"op":"remove","path":"/metadata/finalizers/00"}]`,
		"what is not there":                 `[{"op":"remove","path":"/metadata/labels/none"}]`,
		"a field that is left out":          `[{"op":"remove","path":"/spec/priority"}]`,
		"the same field twice":              `[{"op":"remove","path":"/spec/containers/0/name"},{"op":"remove","path":"/spec/containers/0/name"}]`,
		"the kind":                          `[{"op":"replace","path":"/kind","value":"Pod"}]`,
		"everything":                        `[{"op":"replace","path":"","value":{}}]`,
		"inside a value of its own form":    `[{"op":"add","path":"/spec/containers/0/livenessProbe/httpGet/port/x","value":1}]`,
		"inside the set of managed fields":  `[{"op":"add","path":"/metadata/managedFields/0/fieldsV1/f:x","value":{}}]`,
		"a null that a map has hidden":      `[{"op":"add","path":"/metadata/labels","value":{"a":null}},{"op":"test","path":"/metadata/labels/a","value":null}]`,
		"a field that decoding has dropped": `[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"B","x":1}},{"op":"test","path":"/spec/containers/0/env/1/x","value":1}]`,
		"a test of spelling":                `[{"op":"add","path":"/metadata/labels/a","value":"\u0061"},{"op":"test","path":"/metadata/labels/a","value":"a"}]`,
		"a test that fails":                 `[{"op":"test","path":"/metadata/labels/app","value":"other"}]`,
		"a copy":                            `[{"op":"copy","from":"/metadata/labels/app","path":"/metadata/labels/b"}]`,
		"a move":                            `[{"op":"move","from":"/metadata/labels/app","path":"/metadata/labels/b"}]`,
		"no operation known":                `[{"op":"merge","path":"/metadata/labels/app","value":"b"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			if agree(t, pod(t), []byte(text)) {
				t.Error("the direct way is sure of it")
			}
		})
	}
}

func TestErrorsSayWhatThePatchIsToBlameFor(t *testing.T) {
	for name, test := range map[string]struct {
		patch     string
		misshapes bool
	}{
		"it does not apply":        {`[{"op":"remove","path":"/metadata/labels/none"}]`, false},
		"it breaks the type":       {`[{"op":"add","path":"/metadata/labels/a","value":1}]`, true},
		"it breaks off half way":   {`[{"op":"add","path":"/metadata/labels/a","value":"b"},{"op":"test","path":"/metadata/name","value":"x"}]`, false},
		"it makes a number of one": {`[{"op":"replace","path":"/spec/containers/0/image","value":7}]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			object := pod(t)
			result, changed, err := patch.Apply(object, object.GroupVersionKind(), objects(), steps(t, test.patch))
			var blame *patch.Error
			if !errors.As(err, &blame) || blame.Misshapes != test.misshapes || result != nil || changed {
				t.Errorf("got %v, %t, %v", result, changed, err)
			}
			if diff := cmp.Diff(pod(t), object); diff != "" {
				t.Errorf("the object has changed:\n%s", diff)
			}
		})
	}
}

func TestResultsAreDefaulted(t *testing.T) {
	object := pod(t)
	result, changed, err := patch.Apply(object, object.GroupVersionKind(), objects(),
		steps(t, `[{"op":"add","path":"/spec/containers/-","value":{"name":"side","image":"proxy:1"}}]`))
	if err != nil || !changed {
		t.Fatalf("changed %t, %v", changed, err)
	}
	if side := result.(*corev1.Pod).Spec.Containers[1]; side.ImagePullPolicy != corev1.PullIfNotPresent || side.TerminationMessagePath == "" {
		t.Errorf("the new container has no defaults: %+v", side)
	}
}

func BenchmarkLabel(b *testing.B) {
	set := steps(b, `[{"op":"add","path":"/metadata/labels/gatehouse.dev~1by","value":"x"}]`)
	for _, object := range []runtime.Object{pod(b), custom(b, pod(b))} {
		name := "typed"
		if _, is := object.(*unstructured.Unstructured); is {
			name = "custom"
		}
		kind := object.GetObjectKind().GroupVersionKind()
		b.Run(name+", by either way", func(b *testing.B) {
			for b.Loop() {
				if _, _, err := patch.Apply(object, kind, objects(), set); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+", by the general way", func(b *testing.B) {
			for b.Loop() {
				if _, _, err := patch.General(object, kind, objects(), set); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
