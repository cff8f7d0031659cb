package patch_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kubetesting "k8s.io/kubernetes/pkg/api/testing"

	"gatehouse/plugins/patch"
)

// objects are what the server hands to admission for built-in kinds.
func objects() admission.ObjectInterfaces {
	return admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
}

// kinds are the built-in ones that have metadata, in an order of their own.
func kinds() []schema.GroupVersionKind {
	var all []schema.GroupVersionKind
	for kind := range legacyscheme.Scheme.AllKnownTypes() {
		if kind.Version == runtime.APIVersionInternal || !legacyscheme.Scheme.Recognizes(kind.GroupKind().WithVersion(runtime.APIVersionInternal)) {
			continue
		}
		made, err := legacyscheme.Scheme.New(kind)
		if err != nil || meta.IsListType(made) {
			continue
		}
		if _, err := meta.Accessor(made); err == nil {
			all = append(all, kind)
		}
	}
	slices.SortFunc(all, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// world makes objects and patches by chance, the same ones for the same seed.
type world struct {
	*rand.Rand
	fill func(object any)
}

func newWorld(seed int64) *world {
	filler := fuzzer.FuzzerFor(kubetesting.FuzzerFuncs, rand.NewSource(seed), legacyscheme.Codecs).NumElements(1, 3)
	return &world{rand.New(rand.NewSource(seed)), func(object any) { filler.Fill(object) }}
}

// object makes one of a kind, in the version that plugins see.
func (w *world) object(t testing.TB, kind schema.GroupVersionKind) runtime.Object {
	t.Helper()
	internal, err := legacyscheme.Scheme.New(kind.GroupKind().WithVersion(runtime.APIVersionInternal))
	if err != nil {
		t.Fatal(err)
	}
	w.fill(internal)
	made, err := legacyscheme.Scheme.ConvertToVersion(internal, kind.GroupVersion())
	if err != nil {
		t.Fatal(err)
	}
	made.GetObjectKind().SetGroupVersionKind(kind)
	if w.Intn(4) == 0 {
		return made // whatever the code of the server may have made
	}
	sent, err := legacyscheme.Scheme.New(kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(encoded(t, made)), sent); err != nil {
		t.Fatal(err)
	}
	return sent // as clients send them
}

// custom is the object as those of custom kinds are held.
func custom(t testing.TB, object runtime.Object) *unstructured.Unstructured {
	t.Helper()
	made := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(encoded(t, object)), &made.Object); err != nil {
		t.Fatal(err)
	}
	round, err := runtime.Encode(unstructured.UnstructuredJSONScheme, made)
	if err != nil {
		t.Fatal(err)
	}
	if err := runtime.DecodeInto(unstructured.UnstructuredJSONScheme, round, made); err != nil {
		t.Fatal(err)
	}
	return made
}

func encoded(t testing.TB, object any) string {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// places are the pointers into a tree of JSON, and what is there.
func places(tree any, pointer string, found map[string]any) {
	found[pointer] = tree
	switch tree := tree.(type) {
	case map[string]any:
		for key, member := range tree {
			places(member, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(key), found)
		}
	case []any:
		for i, element := range tree {
			places(element, fmt.Sprint(pointer, "/", i), found)
		}
	}
}

// patch makes one that has something to do with the object.
func (w *world) patch(t testing.TB, object runtime.Object) []byte {
	t.Helper()
	var tree any
	if err := json.Unmarshal([]byte(encoded(t, object)), &tree); err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	places(tree, "", found)
	pointers := make([]string, 0, len(found))
	for pointer := range found {
		pointers = append(pointers, pointer)
	}
	slices.Sort(pointers)
	var steps []map[string]any
	gentle := w.Intn(2) == 0 // such patches apply, as most do in the world
	for range 1 + w.Intn(3) {
		pointer := pointers[w.Intn(len(pointers))]
		step := map[string]any{"op": w.pick("add", "replace", "remove"), "path": pointer, "value": found[pointer]}
		if _, text := found[pointer].(string); text && w.Intn(2) == 0 {
			step["value"] = "text"
		}
		if !gentle {
			if len(steps) > 0 && w.Intn(3) == 0 { // what one step has done meets the next
				pointer = steps[len(steps)-1]["path"].(string)
			}
			step["op"] = w.pick("add", "add", "replace", "replace", "remove", "remove", "test", "copy")
			step["path"], step["value"] = w.near(pointer), w.value(pointers, found, pointer)
			step["from"] = pointers[w.Intn(len(pointers))]
		}
		steps = append(steps, step)
	}
	return []byte(encoded(t, steps))
}

// near is a pointer, or one beside or below it.
func (w *world) near(pointer string) string {
	parent := pointer[:max(0, strings.LastIndexByte(pointer, '/'))]
	return w.pick(pointer, pointer, pointer, pointer+"/-", pointer+"/0", pointer+"/new", parent+"/-", parent+"/0", parent+"/1",
		parent+"/a~1b~0c", parent, "/metadata/labels/new", "/metadata/labels", "/metadata/annotations/a~1b", "/metadata/annotations",
		"/metadata/finalizers", "/metadata/finalizers/-", "/metadata/finalizers/0", "/metadata/labels/new/deep", pointer+"/-1", pointer+"/01")
}

// value is one that fits the place, or would fit elsewhere, or nowhere.
func (w *world) value(pointers []string, found map[string]any, pointer string) any {
	switch w.Intn(4) {
	case 0:
		return found[pointer]
	case 1:
		return found[pointers[w.Intn(len(pointers))]]
	case 2:
		return "text"
	}
	return json.RawMessage(w.pick(`""`, `"a<b"`, `"\u0061"`, `7`, `1.0`, `-3`, `true`, `null`, `{}`, `[]`, `["x"]`, `[null]`, `{"new":"x"}`, `{"new":null}`,
		`{ "new" : 1, "new":"2"}`, `{"name":"c","unknown":1}`, `[{"name":"c"}]`, `"1Gi"`, `"0.5"`, `"2020-01-01T00:00:00.5Z"`, `9007199254740993`))
}

func (w *world) pick(of ...string) string { return of[w.Intn(len(of))] }

// agree applies a patch both ways, and reports whether the direct one was sure.
func agree(t testing.TB, object runtime.Object, text []byte) (sure bool) {
	t.Helper()
	if _, same := patch.ReadBothWays(text); !same {
		t.Fatalf("the library reads something else in %s", text)
	}
	steps, err := patch.Parse(text)
	if err != nil {
		return false
	}
	kind, before := object.GetObjectKind().GroupVersionKind(), encoded(t, object)
	got, changed, sure := patch.Direct(object, kind, objects(), steps)
	if after := encoded(t, object); after != before {
		t.Fatalf("%s\nhas changed the original %s\nto %s", text, before, after)
	}
	if !sure {
		return false
	}
	want, wantChanged, err := patch.General(object, kind, objects(), steps)
	if err != nil {
		t.Fatalf("%s\napplied to %s\ngives %s\nwant the error %v", text, encoded(t, object), encoded(t, got), err)
	}
	if diff := difference(want, got); diff != "" || changed != wantChanged || encoded(t, want) != encoded(t, got) {
		t.Fatalf("%s\napplied to %s\ngives, changed %t, want %t (-general +direct):\n%s", text, encoded(t, object), changed, wantChanged, diff)
	}
	legacyscheme.Scheme.Default(got)
	if after := encoded(t, object); after != before {
		t.Fatalf("%s\nresult and original have something in common: %s\nhas become %s", text, before, after)
	}
	return true
}

// difference tells nil from empty, and of times and quantities all that is ever written.
func difference(a, b runtime.Object) string {
	return cmp.Diff(a, b,
		cmp.Comparer(func(a, b metav1.Time) bool { return a.Time.Equal(b.Time) }),
		cmp.Comparer(func(a, b metav1.MicroTime) bool { return a.Time.Equal(b.Time) }),
		cmp.Comparer(func(a, b resource.Quantity) bool { return a.Format == b.Format && a.String() == b.String() }))
}

func TestBothWaysAgreeOnEveryKind(t *testing.T) {
	const rounds, patches = 1, 12
	w := newWorld(1)
	sure, all := map[bool]int{}, map[bool]int{}
	for _, kind := range kinds() {
		for range rounds {
			object := w.object(t, kind)
			both := []runtime.Object{object, custom(t, object)}
			for range patches {
				text := w.patch(t, object)
				for _, o := range both {
					_, isCustom := o.(*unstructured.Unstructured)
					all[isCustom]++
					if agree(t, o, text) {
						sure[isCustom]++
					}
				}
			}
		}
	}
	t.Logf("direct: %d of %d typed, %d of %d custom", sure[false], all[false], sure[true], all[true])
	if sure[false]*5 < all[false] || sure[true]*5 < all[true] {
		t.Error("the direct way is hardly ever sure, so that little has been compared")
	}
}

func TestPatchesOfSDKsAreReadWithoutTheLibrary(t *testing.T) {
	for text, plain := range map[string]bool{
		`[{"op":"add","path":"/metadata/labels/a","value":"b"}]`:                                                         true,
		`[{"op":"add","path":"/metadata/labels","value":{}},{"op":"add","path":"/metadata/labels/a~1b","value":"ä"}]`:    true,
		`[{"op":"remove","path":"/a/b"},{"op":"test","path":"/c","value":true},{"op":"replace","path":"/d","value":[]}]`: true,
		`[{"op":"add","path":"/kind","value":"Pod"}]`:                                                                    true,
		`[{"op":"add","path":"/a","value":"` + strings.Repeat("x", 9<<10) + `"}]`:                                        true,
		`[` + strings.Repeat(`{"op":"remove","path":"/a"},`, 100) + `{"op":"remove","path":"/a"}]`:                       true,
		`[]`:                                    false,
		`[{"op":"add","path":"/a","value":"b"}`: false,
		`[{"op":"add","path":"/a","value":"b"},]`:               false,
		`[{"op":"add","path":"/a","value":"b"}] `:               false,
		`[{"op":"add","path":"/a","value":"b"}][]`:              false,
		`[{"op":"add","path":"/a","value":"\u0061"}]`:           false,
		`[{"op":"add","path":"/a\"","value":"b"}]`:              false,
		`[{"op":"add","path":"/a","value":1}]`:                  false,
		`[{"op":"add","path":"/a","value":{"b":"c"}}]`:          false,
		`[{"op":"add","path":"/a","value":truex}]`:              false,
		`[{"op":"add","path":"/a","value":null}]`:               false,
		`[{"op":"add","path":"/a","value":"b","value":"c"}]`:    false,
		`[{"op":"add","path":"/a"}]`:                            false,
		`[{"op":"remove","path":"/a","value":"b"}]`:             false,
		`[{"op":"adder","path":"/a","value":"b"}]`:              false,
		`[{"op":"copy","path":"/a","from":"/b"}]`:               false,
		`[{"op":"remove","path":"a"}]`:                          false,
		`[{"op":"remove","path":""}]`:                           false,
		"[{\"op\":\"add\",\"path\":\"/a\",\"value\":\"\xff\"}]": false,
		"[{\"op\":\"add\",\"path\":\"/a\",\"value\":\"\n\"}]":   false,
	} {
		if got, same := patch.ReadBothWays([]byte(text)); got != plain || !same {
			t.Errorf("%.80s: read without the library %t, want %t; read alike %t", text, got, plain, same)
		}
	}
}

func FuzzBothWaysAgree(f *testing.F) {
	all := kinds()
	for _, text := range []string{
		`[{"op":"add","path":"/metadata/labels/a","value":"b"}]`,
		`[{"op":"add","path":"/metadata/labels","value":{}},{"op":"add","path":"/metadata/labels/a~1b","value":"c"}]`,
		`[{"op":"test","path":"/metadata/name","value":"x"},{"op":"remove","path":"/metadata/finalizers/0"}]`,
		`[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"A","value":"b"}}]`,
		`[{"op":"replace","path":"/spec/containers/0/resources/limits/cpu","value":"0.5"}]`,
		``,
	} {
		f.Add(int64(1), uint16(0), []byte(text))
	}
	f.Fuzz(func(t *testing.T, seed int64, kind uint16, text []byte) {
		w := newWorld(seed)
		object := w.object(t, all[int(kind)%len(all)])
		if len(text) == 0 {
			text = w.patch(t, object)
		}
		agree(t, object, text)
		agree(t, custom(t, object), text)
	})
}
