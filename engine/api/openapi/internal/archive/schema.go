package archive

import (
	"cmp"
	"encoding/gob"
	"fmt"
	"io"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
)

// Schema is what structured merge needs to know of every kind: which lists are maps or sets, by which keys, what is atomic.
// It is one for all group versions, because they share most of their types: a PodTemplateSpec is in core, apps and batch.
type Schema struct {
	// Types sorted by name, their fields too.
	Types []smd.TypeDef
	// Kinds says which type a kind is.
	Kinds map[schema.GroupVersionKind]string
}

// NewSchema converts OpenAPI v3 definitions the way that managedfields.NewTypeConverter does.
func NewSchema(definitions map[string]*spec.Schema) (*Schema, error) {
	converted, err := schemaconv.ToSchemaFromOpenAPI(definitions, false)
	if err != nil {
		return nil, fmt.Errorf("convert OpenAPI definitions to a merge schema: %w", err)
	}
	s := &Schema{Types: converted.Types, Kinds: map[schema.GroupVersionKind]string{}}
	slices.SortFunc(s.Types, func(a, b smd.TypeDef) int { return cmp.Compare(a.Name, b.Name) })
	for i := range s.Types {
		normalize(&s.Types[i].Atom)
	}
	for name, definition := range definitions {
		kinds, err := kindsOf(definition)
		if err != nil {
			return nil, fmt.Errorf("read the kinds of definition %s: %w", name, err)
		}
		for _, kind := range kinds {
			if other, taken := s.Kinds[kind]; taken {
				return nil, fmt.Errorf("%s is defined twice, as %s and as %s", kind, other, name)
			}
			s.Kinds[kind] = name
		}
	}
	return s, nil
}

// normalize sorts fields, whose order is random as converted and means nothing, and makes whole numbers integers, as they
// are in the Go definitions that upstream builds its schema from.
func normalize(a *smd.Atom) {
	if a.List != nil {
		normalize(&a.List.ElementType.Inlined)
	}
	if a.Map == nil {
		return
	}
	normalize(&a.Map.ElementType.Inlined)
	slices.SortFunc(a.Map.Fields, func(a, b smd.StructField) int { return cmp.Compare(a.Name, b.Name) })
	for i := range a.Map.Fields {
		field := &a.Map.Fields[i]
		normalize(&field.Type.Inlined)
		if number, ok := field.Default.(float64); ok && number == float64(int(number)) {
			field.Default = int(number)
		}
	}
}

func kindsOf(definition *spec.Schema) ([]schema.GroupVersionKind, error) {
	extension, ok := definition.Extensions["x-kubernetes-group-version-kind"]
	if !ok {
		return nil, nil
	}
	list, ok := extension.([]any)
	if !ok {
		return nil, fmt.Errorf("x-kubernetes-group-version-kind is a %T, not a list", extension)
	}
	var kinds []schema.GroupVersionKind
	for _, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("x-kubernetes-group-version-kind holds a %T, not an object", item)
		}
		group, _ := fields["group"].(string)
		version, _ := fields["version"].(string)
		kind, _ := fields["kind"].(string)
		if version == "" || kind == "" {
			return nil, fmt.Errorf("x-kubernetes-group-version-kind lacks version or kind: %v", fields)
		}
		kinds = append(kinds, schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
	}
	return kinds, nil
}

// kindEntry is one of Schema.Kinds: lists, unlike maps, are always encoded in the same order.
type kindEntry struct {
	Kind schema.GroupVersionKind
	Type string
}

// Encode writes the schema. Equal schemas are written as equal bytes.
func (s *Schema) Encode(w io.Writer) error {
	entries := make([]kindEntry, 0, len(s.Kinds))
	for kind, name := range s.Kinds {
		entries = append(entries, kindEntry{kind, name})
	}
	slices.SortFunc(entries, func(a, b kindEntry) int { return cmp.Compare(a.Kind.String(), b.Kind.String()) })
	registerDefaults()
	encoder := gob.NewEncoder(w)
	if err := encoder.Encode(s.Types); err != nil {
		return fmt.Errorf("encode the merge schema's types: %w", err)
	}
	if err := encoder.Encode(entries); err != nil {
		return fmt.Errorf("encode the merge schema's kinds: %w", err)
	}
	return nil
}

// DecodeSchema reads what Encode wrote.
func DecodeSchema(r io.Reader) (*Schema, error) {
	registerDefaults()
	decoder := gob.NewDecoder(r)
	s := &Schema{}
	if err := decoder.Decode(&s.Types); err != nil {
		return nil, fmt.Errorf("decode the merge schema's types: %w", err)
	}
	var entries []kindEntry
	if err := decoder.Decode(&entries); err != nil {
		return nil, fmt.Errorf("decode the merge schema's kinds: %w", err)
	}
	s.Kinds = make(map[schema.GroupVersionKind]string, len(entries))
	for _, entry := range entries {
		s.Kinds[entry.Kind] = entry.Type
	}
	return s, nil
}

// registerDefaults tells gob which types a field's default may have, besides the basic ones that it knows. It may be
// called any number of times.
func registerDefaults() {
	gob.Register(map[string]any{})
	gob.Register([]any{})
}
