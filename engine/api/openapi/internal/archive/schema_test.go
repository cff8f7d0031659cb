package archive

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const kinds = "x-kubernetes-group-version-kind"

func thing(extensions spec.Extensions) *spec.Schema {
	return &spec.Schema{
		VendorExtensible: spec.VendorExtensible{Extensions: extensions},
		SchemaProps: spec.SchemaProps{
			Type: spec.StringOrArray{"object"},
			Properties: map[string]spec.Schema{
				"whole":  {SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"integer"}, Default: 3.0}},
				"broken": {SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"number"}, Default: 3.5}},
				"free":   {SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Default: map[string]any{}}},
			},
		},
	}
}

func ofKind(kind string) spec.Extensions {
	return spec.Extensions{kinds: []any{map[string]any{"group": "example.com", "version": "v1", "kind": kind}}}
}

func TestSchemaSurvivesEncoding(t *testing.T) {
	written, err := NewSchema(map[string]*spec.Schema{"A": thing(ofKind("A")), "B": thing(nil)})
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := written.Encode(&first); err != nil {
		t.Fatal(err)
	}
	read, err := DecodeSchema(bytes.NewReader(first.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Encode(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("encoded anew, the schema differs")
	}
	want := map[schema.GroupVersionKind]string{{Group: "example.com", Version: "v1", Kind: "A"}: "A"}
	if diff := cmp.Diff(want, read.Kinds); diff != "" {
		t.Errorf("kinds:\n%s", diff)
	}
	defaults := map[string]any{}
	for _, field := range read.Types[0].Map.Fields {
		defaults[field.Name] = field.Default
	}
	if diff := cmp.Diff(map[string]any{"whole": 3, "broken": 3.5, "free": map[string]any{}}, defaults); diff != "" {
		t.Errorf("defaults:\n%s", diff)
	}
}

func TestDefinitionsThatCannotBeTrusted(t *testing.T) {
	tests := map[string]struct {
		definitions map[string]*spec.Schema
		want        string
	}{
		"one kind defined twice":          {map[string]*spec.Schema{"A": thing(ofKind("A")), "B": thing(ofKind("A"))}, "defined twice"},
		"kinds that are no list":          {map[string]*spec.Schema{"A": thing(spec.Extensions{kinds: "A"})}, "definition A"},
		"a kind that is no object":        {map[string]*spec.Schema{"A": thing(spec.Extensions{kinds: []any{"A"}})}, "definition A"},
		"a kind without name":             {map[string]*spec.Schema{"A": thing(ofKind(""))}, "lacks version or kind"},
		"a list of nothing in particular": {map[string]*spec.Schema{"A": {SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"array"}}}}, "convert OpenAPI definitions"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := NewSchema(test.definitions); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("want an error with %q, got %v", test.want, err)
			}
		})
	}
}

func TestTruncatedSchemaIsAnError(t *testing.T) {
	s, err := NewSchema(map[string]*spec.Schema{"A": thing(ofKind("A"))})
	if err != nil {
		t.Fatal(err)
	}
	var encoded bytes.Buffer
	if err := s.Encode(&encoded); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, encoded.Len() / 2, encoded.Len() - 1} {
		if _, err := DecodeSchema(bytes.NewReader(encoded.Bytes()[:size])); err == nil {
			t.Errorf("%d of %d bytes were taken for a schema", size, encoded.Len())
		}
	}
}
