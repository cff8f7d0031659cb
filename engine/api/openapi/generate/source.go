package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"

	"gatehouse/engine/api/openapi/internal/archive"
)

// kindsExtension lists the kinds that a definition describes.
const kindsExtension = "x-kubernetes-group-version-kind"

// source is what documents are made of.
type source struct {
	// published holds swagger.json and v3/*_openapi.json.
	published fs.FS
	// version goes into each document's info: major and minor, as kube-apiserver has it.
	version string
	// compiled are the definitions in kube-apiserver's binary, by definition name. They have enumerations.
	compiled map[string]common.OpenAPIDefinition
	// own are the documents of groups that kube-apiserver has not.
	own own
}

func newSource(published fs.FS, kubernetesVersion string) (*source, error) {
	v, err := version.ParseSemantic(kubernetesVersion)
	if err != nil {
		return nil, fmt.Errorf("parse the version of module %s: %w", kubernetes, err)
	}
	s := &source{
		published: published,
		version:   fmt.Sprintf("%d.%d", v.Major(), v.Minor()),
		compiled:  generatedopenapi.GetOpenAPIDefinitions(func(string) spec.Ref { return spec.Ref{} }),
	}
	if s.own, err = newOwn(s.version); err != nil {
		return nil, fmt.Errorf("describe the server's own groups: %w", err)
	}
	return s, nil
}

// generate makes the archive's files, by name, of the v3 documents at paths and of the v2 document that covers the same.
func (s *source) generate(paths []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	index := archive.Index{V3: map[string]string{}}
	operations := map[string]bool{}
	definitions := map[string]*spec.Schema{}
	for _, path := range paths {
		document, err := s.v3(path)
		if err != nil {
			return nil, fmt.Errorf("v3 document %s: %w", path, err)
		}
		for operation := range document.Paths.Paths {
			operations[operation] = true
		}
		if err := collect(definitions, document); err != nil {
			return nil, fmt.Errorf("v3 document %s: %w", path, err)
		}
		text, err := json.Marshal(document)
		if err == nil {
			index.V3[path], err = addForms(files, archive.V3(path), text, handler3.ToV3ProtoBinary)
		}
		if err != nil {
			return nil, fmt.Errorf("v3 document %s: %w", path, err)
		}
	}

	text, err := s.v2(operations)
	if err == nil {
		index.V2, err = addForms(files, archive.V2, text, handler.ToProtoBinary)
	}
	if err != nil {
		return nil, fmt.Errorf("v2 document: %w", err)
	}
	if files[archive.SchemaFile], err = encodeSchema(definitions); err != nil {
		return nil, err
	}
	if files[archive.IndexFile], err = json.MarshalIndent(index, "", "  "); err != nil {
		return nil, err
	}
	return files, nil
}

// v3 is the document that the server gives at /openapi/v3/<path>.
func (s *source) v3(path string) (*spec3.OpenAPI, error) {
	if document := s.own.v3[path]; document != nil {
		return document, nil
	}
	document := &spec3.OpenAPI{}
	if err := s.read("v3/"+strings.ReplaceAll(path, "/", "__")+"_openapi.json", document); err != nil {
		return nil, err
	}
	document.Info.Version = s.version
	for _, item := range document.Paths.Paths {
		for _, operation := range []*spec3.Operation{item.Get, item.Put, item.Post, item.Delete, item.Options, item.Head, item.Patch} {
			if operation != nil {
				orderKind(operation.Extensions)
			}
		}
	}
	if document.Components != nil {
		for name, definition := range document.Components.Schemas {
			s.restoreEnums(name, definition)
		}
	}
	return document, nil
}

// v2 is the server's v2 document, less the operations that are not served and what nothing refers to then.
func (s *source) v2(operations map[string]bool) ([]byte, error) {
	swagger := &spec.Swagger{}
	if err := s.read("swagger.json", swagger); err != nil {
		return nil, err
	}
	swagger.Info.Version = s.version
	if own := s.own.v2; own != nil {
		maps.Copy(swagger.Paths.Paths, own.Paths.Paths)
		addMissing(swagger.Parameters, own.Parameters)
		addMissing(swagger.Definitions, own.Definitions)
	}
	for operation := range swagger.Paths.Paths {
		if !operations[operation] {
			delete(swagger.Paths.Paths, operation)
		}
	}
	if len(swagger.Paths.Paths) != len(operations) {
		return nil, fmt.Errorf("it has %d of the %d paths that the v3 documents have", len(swagger.Paths.Paths), len(operations))
	}
	if err := prune(swagger); err != nil {
		return nil, err
	}
	for name, definition := range swagger.Definitions {
		s.restoreEnums(name, &definition)
		swagger.Definitions[name] = definition
	}
	return swagger.MarshalJSON() // not json.Marshal, which would escape < and > where the server does not
}

// addMissing copies what is only in from.
func addMissing[M ~map[string]V, V any](to, from M) {
	for name, value := range from {
		if _, there := to[name]; !there {
			to[name] = value
		}
	}
}

// read parses a published file into document, without what it says of CBOR, which is off by default.
func (s *source) read(name string, document any) error {
	content, err := fs.ReadFile(s.published, name)
	if err != nil {
		return err
	}
	var parsed any
	if err := json.Unmarshal(content, &parsed); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	if content, err = json.Marshal(withoutCBOR(parsed)); err != nil {
		return err
	}
	if err := json.Unmarshal(content, document); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	return nil
}

// withoutCBOR removes the media types of CBOR, which are keys in v3 and list items in v2.
func withoutCBOR(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, child := range value {
			if isCBOR(key) {
				delete(value, key)
				continue
			}
			value[key] = withoutCBOR(child)
		}
	case []any:
		value = slices.DeleteFunc(value, func(item any) bool {
			text, ok := item.(string)
			return ok && isCBOR(text)
		})
		for i, child := range value {
			value[i] = withoutCBOR(child)
		}
		return value
	}
	return value
}

func isCBOR(mediaType string) bool {
	switch mediaType {
	case "application/cbor", "application/cbor-seq", "application/apply-patch+cbor":
		return true
	}
	return false
}

// orderKind makes an operation's kind the type that it has in the server, which decides the order of its fields.
func orderKind(extensions spec.Extensions) {
	if fields, ok := extensions[kindsExtension].(map[string]any); ok {
		kind := metav1.GroupVersionKind{}
		kind.Group, _ = fields["group"].(string)
		kind.Version, _ = fields["version"].(string)
		kind.Kind, _ = fields["kind"].(string)
		extensions[kindsExtension] = kind
	}
}

// restoreEnums gives a published definition the enumerations that its compiled one has.
func (s *source) restoreEnums(name string, definition *spec.Schema) {
	if compiled, ok := s.compiled[name]; ok {
		copyEnums(definition, &compiled.Schema)
	}
}

// copyEnums copies enumerations, and the descriptions that list their values, from a schema to one of the same shape.
func copyEnums(to, from *spec.Schema) {
	to.Description, to.Enum = from.Description, from.Enum
	for name, property := range to.Properties {
		if source, ok := from.Properties[name]; ok {
			copyEnums(&property, &source)
			to.Properties[name] = property
		}
	}
	if to.Items != nil && to.Items.Schema != nil && from.Items != nil && from.Items.Schema != nil {
		copyEnums(to.Items.Schema, from.Items.Schema)
	}
	if to.AdditionalProperties != nil && to.AdditionalProperties.Schema != nil &&
		from.AdditionalProperties != nil && from.AdditionalProperties.Schema != nil {
		copyEnums(to.AdditionalProperties.Schema, from.AdditionalProperties.Schema)
	}
}

// addForms adds the compressed JSON and protobuf of a document to files and returns its ETag.
func addForms(files map[string][]byte, name string, text []byte, toProtobuf func([]byte) ([]byte, error)) (string, error) {
	protobuf, err := toProtobuf(text)
	if err != nil {
		return "", fmt.Errorf("convert to protobuf: %w", err)
	}
	if files[name+archive.JSONSuffix], err = archive.Compress(text); err != nil {
		return "", err
	}
	if files[name+archive.ProtobufSuffix], err = archive.Compress(protobuf); err != nil {
		return "", err
	}
	return archive.ETag(text), nil
}

// collect adds a document's definitions to those of the others. Definitions of one name must be the same everywhere, but
// for the kinds of options and events, which each document narrows to its own group.
func collect(definitions map[string]*spec.Schema, document *spec3.OpenAPI) error {
	if document.Components == nil {
		return nil
	}
	for name, definition := range document.Components.Schemas {
		known, ok := definitions[name]
		if !ok {
			definitions[name] = definition
			continue
		}
		if !reflect.DeepEqual(withoutKinds(known), withoutKinds(definition)) {
			return fmt.Errorf("definition %s differs from that of another document", name)
		}
	}
	return nil
}

func withoutKinds(definition *spec.Schema) spec.Schema {
	shallow := *definition
	shallow.Extensions = spec.Extensions{}
	for key, value := range definition.Extensions {
		if key != kindsExtension {
			shallow.Extensions[key] = value
		}
	}
	return shallow
}

func encodeSchema(definitions map[string]*spec.Schema) ([]byte, error) {
	merge, err := archive.NewSchema(definitions)
	if err != nil {
		return nil, err
	}
	var encoded bytes.Buffer
	if err := merge.Encode(&encoded); err != nil {
		return nil, err
	}
	return encoded.Bytes(), nil
}
