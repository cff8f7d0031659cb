package openapi

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"gatehouse/engine/api/openapi/internal/archive"
)

// TypeConverters gives managedFields the schemas of the built-in kinds. They are loaded at the first call of For, within a
// millisecond or two, and kept from then on, in somewhat more than half a megabyte. It is safe for concurrent use.
type TypeConverters struct {
	load func() (*typeConverter, error)
}

// NewTypeConverters loads nothing yet.
func NewTypeConverters() *TypeConverters {
	return &TypeConverters{load: sync.OnceValues(loadTypeConverter)}
}

// For returns the converter for the kinds of a group version, and for those of other groups that its subresources take,
// such as autoscaling/v1 Scale. The same converter serves all group versions, since they share most of their types. It is
// an error to ask for a group version that has no kinds in the embedded documents: without their schema, objects would be
// stored without managedFields, and nobody would be told.
func (c *TypeConverters) For(version schema.GroupVersion) (managedfields.TypeConverter, error) {
	converter, err := c.load()
	if err != nil {
		return nil, err
	}
	if !converter.versions[version] {
		return nil, fmt.Errorf("the embedded OpenAPI documents have no kinds of %s; name it in engine/api/openapi/served.txt "+
			"and run: go generate ./engine/api/openapi", version)
	}
	return converter, nil
}

// typeConverter does what upstream's does, from a schema that was converted beforehand.
type typeConverter struct {
	// TypeConverter is upstream's without any kinds: it converts back, and has the error for unknown kinds by which
	// upstream tells that an owner's version is not served any more, so that its fields are to be forgotten.
	managedfields.TypeConverter
	kinds    map[schema.GroupVersionKind]typed.ParseableType
	versions map[schema.GroupVersion]bool
}

func loadTypeConverter() (*typeConverter, error) {
	file, err := documents.Open("documents/" + archive.SchemaFile)
	if err != nil {
		return nil, fmt.Errorf("open the embedded merge schema: %w", err)
	}
	defer file.Close()
	schemas, err := archive.DecodeSchema(file)
	if err != nil {
		return nil, fmt.Errorf("load the embedded merge schema: %w", err)
	}
	return newTypeConverter(schemas)
}

func newTypeConverter(schemas *archive.Schema) (*typeConverter, error) {
	none, err := managedfields.NewTypeConverter(nil, false)
	if err != nil {
		return nil, fmt.Errorf("make a converter of no kinds: %w", err)
	}
	c := &typeConverter{
		TypeConverter: none,
		kinds:         make(map[schema.GroupVersionKind]typed.ParseableType, len(schemas.Kinds)),
		versions:      map[schema.GroupVersion]bool{},
	}
	parser := &typed.Parser{Schema: smd.Schema{Types: schemas.Types}}
	for kind, name := range schemas.Kinds {
		c.kinds[kind] = parser.Type(name)
		c.versions[kind.GroupVersion()] = true
	}
	return c, nil
}

// ObjectToTyped implements managedfields.TypeConverter.
func (c *typeConverter) ObjectToTyped(object runtime.Object, options ...typed.ValidationOptions) (*typed.TypedValue, error) {
	kind, ok := c.kinds[object.GetObjectKind().GroupVersionKind()]
	if !ok {
		return c.TypeConverter.ObjectToTyped(object, options...)
	}
	if object, ok := object.(*unstructured.Unstructured); ok {
		return kind.FromUnstructured(object.UnstructuredContent(), options...)
	}
	return kind.FromStructured(object, options...)
}
