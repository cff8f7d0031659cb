package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/meta"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	upstreamnamer "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	openapiutil "k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"gatehouse/engine/api/discovery/discoverytest"
	"gatehouse/engine/api/openapi"
	"gatehouse/engine/api/openapi/internal/archive"
)

// written is a kind that some resource or subresource of a group version takes in writes.
type written struct {
	version schema.GroupVersion
	kind    schema.GroupVersionKind
}

// writtenKinds lists all kinds that are written and can carry managedFields.
func writtenKinds(t *testing.T) []written {
	t.Helper()
	var kinds []written
	for _, version := range discoverytest.Default(t, "apiextensions.k8s.io", "apiregistration.k8s.io") {
		for _, resource := range version.Resources {
			kind := version.WithKind(resource.Kind)
			if resource.Version != "" {
				kind = schema.GroupVersionKind{Group: resource.Group, Version: resource.Version, Kind: resource.Kind}
			}
			object, err := scheme.Scheme.New(kind)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := meta.Accessor(object); err != nil {
				continue // such as PodExecOptions
			}
			one := written{version.GroupVersion, kind}
			if writes := []string{"create", "update", "patch"}; slices.ContainsFunc(writes, func(verb string) bool {
				return slices.Contains(resource.Verbs, verb)
			}) && !slices.Contains(kinds, one) {
				kinds = append(kinds, one)
			}
		}
	}
	if len(kinds) < 70 {
		t.Fatalf("found only %d kinds that are written", len(kinds))
	}
	return kinds
}

// upstreamDefinitions are what kube-apiserver makes its converters of (getOpenAPIModels in pkg/server/genericapiserver.go).
func upstreamDefinitions(t *testing.T, kinds []written) map[string]*spec.Schema {
	t.Helper()
	config := &common.OpenAPIV3Config{
		GetDefinitions:    generatedopenapi.GetOpenAPIDefinitions,
		GetDefinitionName: upstreamnamer.NewDefinitionNamer(scheme.Scheme).GetDefinitionName,
	}
	var names []string
	for _, k := range kinds {
		object, err := scheme.Scheme.New(k.kind)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, openapiutil.GetCanonicalTypeName(object))
	}
	definitions, err := builder3.BuildOpenAPIDefinitionsForResources(config, names...)
	if err != nil {
		t.Fatal(err)
	}
	return definitions
}

// TestEveryKindIsTracked fuzzes all kinds that are written and holds what ours makes of them to what upstream's makes.
func TestEveryKindIsTracked(t *testing.T) {
	kinds := writtenKinds(t)
	upstream, err := managedfields.NewTypeConverter(upstreamDefinitions(t, kinds), false)
	if err != nil {
		t.Fatal(err)
	}
	converters := openapi.NewTypeConverters()
	for _, k := range kinds {
		t.Run(fmt.Sprintf("%s in %s", k.kind, k.version), func(t *testing.T) {
			ours, err := converters.For(k.version)
			if err != nil {
				t.Fatal(err)
			}
			tracked := 0
			for seed := range int64(20) {
				object := fuzzed(t, k.kind, seed)
				if sameAsUpstream(t, ours, upstream, object) {
					tracked++
				}
				if t.Failed() {
					t.Fatalf("with seed %d", seed)
				}
			}
			if tracked < 5 {
				t.Errorf("only %d of 20 fuzzed objects fit the schema", tracked)
			}
		})
	}
}

// TestSchemaIsUpstreams compares type by type with what upstream's converters are made of, defaults and their Go types included.
func TestSchemaIsUpstreams(t *testing.T) {
	want, err := archive.NewSchema(upstreamDefinitions(t, writtenKinds(t)))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("documents/" + archive.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := archive.DecodeSchema(file)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]smd.TypeDef{}
	for _, definition := range got.Types {
		types[definition.Name] = definition
	}
	for _, definition := range want.Types {
		plainStrings(definition.Map)
		if !bytes.Equal(encode(t, definition), encode(t, types[definition.Name])) {
			t.Errorf("type %s differs", definition.Name)
		}
	}
	for kind, name := range want.Kinds {
		// Options are of every group; only in v2 do documents say so.
		if got.Kinds[kind] != name && !strings.HasSuffix(name, ".DeleteOptions") && !strings.HasSuffix(name, ".WatchEvent") {
			t.Errorf("%s: want type %s, got %s", kind, name, got.Kinds[kind])
		}
	}
}

// encode is what a type says, without what it remembers of being used.
func encode(t *testing.T, definition smd.TypeDef) []byte {
	t.Helper()
	var encoded bytes.Buffer
	if err := (&archive.Schema{Types: []smd.TypeDef{definition}}).Encode(&encoded); err != nil {
		t.Fatal(err)
	}
	return encoded.Bytes()
}

// plainStrings makes defaults of named string types, which JSON does not know, plain strings.
func plainStrings(definition *smd.Map) {
	if definition == nil {
		return
	}
	for i := range definition.Fields {
		if value := reflect.ValueOf(definition.Fields[i].Default); value.Kind() == reflect.String {
			definition.Fields[i].Default = value.String()
		}
	}
}

// sameAsUpstream compares both converters on one object, and its way back. It says whether the object fits the schema:
// fuzzed ones may lack the keys of lists that are maps.
func sameAsUpstream(t *testing.T, ours, upstream managedfields.TypeConverter, object runtime.Object) bool {
	t.Helper()
	want, wantErr := upstream.ObjectToTyped(object, typed.AllowDuplicates)
	got, gotErr := ours.ObjectToTyped(object, typed.AllowDuplicates)
	if fmt.Sprint(wantErr) != fmt.Sprint(gotErr) {
		t.Errorf("want error %v, got %v", wantErr, gotErr)
	}
	if wantErr != nil {
		return false
	}
	if want, got := fieldSet(t, want), fieldSet(t, got); !want.Equals(got) {
		t.Errorf("fields only upstream's tracks:\n%s\nonly ours:\n%s", want.Difference(got), got.Difference(want))
	} else if got.Empty() {
		t.Error("no field is tracked")
	}
	back, err := ours.TypedToObject(got)
	if err != nil {
		t.Error(err)
		return false
	}
	if diff := cmp.Diff(generic(t, object), generic(t, back)); diff != "" {
		t.Errorf("lost (-) on the way to typed and back:\n%s", diff)
	}

	// Apply sends unstructured objects.
	applied := &unstructured.Unstructured{Object: generic(t, object)}
	if got, err = ours.ObjectToTyped(applied, typed.AllowDuplicates); err != nil {
		t.Errorf("unstructured: %v", err)
	} else if !fieldSet(t, want).Equals(fieldSet(t, got)) {
		t.Error("fields of the unstructured form differ")
	}
	return true
}

func fieldSet(t *testing.T, value *typed.TypedValue) *fieldpath.Set {
	t.Helper()
	set, err := value.ToFieldSet()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func generic(t *testing.T, object runtime.Object) map[string]any {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]any{}
	if err := json.Unmarshal(text, &content); err != nil {
		t.Fatal(err)
	}
	return content
}

func fuzzed(t *testing.T, kind schema.GroupVersionKind, seed int64) runtime.Object {
	t.Helper()
	object, err := scheme.Scheme.New(kind)
	if err != nil {
		t.Fatal(err)
	}
	fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(seed), scheme.Codecs).Fill(object)
	accessor, err := meta.Accessor(object)
	if err != nil {
		t.Fatal(err)
	}
	accessor.SetManagedFields(nil)
	accessor.SetName("fuzzed")
	object.GetObjectKind().SetGroupVersionKind(kind)
	return object
}

func TestUnknownKindHasUpstreamsError(t *testing.T) {
	upstream, err := managedfields.NewTypeConverter(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := openapi.NewTypeConverters().For(schema.GroupVersion{Group: "apps", Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	gone := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1beta1", "kind": "Deployment"}}
	_, want := upstream.ObjectToTyped(gone)
	_, got := ours.ObjectToTyped(gone)
	// Upstream tells this error from others by its type, which is not exported.
	if fmt.Sprintf("%T %v", want, want) != fmt.Sprintf("%T %v", got, got) {
		t.Errorf("want %T %v, got %T %v", want, want, got, got)
	}
}

func TestGroupVersionWithoutSchemaIsAnError(t *testing.T) {
	_, err := openapi.NewTypeConverters().For(schema.GroupVersion{Group: "example.com", Version: "v1"})
	if err == nil || !strings.Contains(err.Error(), "example.com/v1") || !strings.Contains(err.Error(), "go generate") {
		t.Errorf("want an error that names the group version and what to do, got %v", err)
	}
}

func TestConverterIsLoadedOnce(t *testing.T) {
	converters := openapi.NewTypeConverters()
	var wait sync.WaitGroup
	got := make([]managedfields.TypeConverter, 16)
	for i := range got {
		wait.Go(func() {
			converter, err := converters.For(schema.GroupVersion{Version: "v1"})
			if err != nil {
				t.Error(err)
			}
			got[i] = converter
		})
	}
	wait.Wait()
	for _, converter := range got {
		if converter != got[0] {
			t.Fatal("two converters were loaded")
		}
	}
}

func BenchmarkLoadTypeConverter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := openapi.NewTypeConverters().For(schema.GroupVersion{Version: "v1"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newService(b)
	}
}
