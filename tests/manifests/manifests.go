// Package manifests holds one sensible object of every kind that can be created, for tests that go through all of them. A
// test holds it against what a server says it serves.
package manifests

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// ReviewsFile holds the objects that are questions: they are answered and never stored, and most have no name.
const ReviewsFile = "reviews.yaml"

//go:embed *.yaml
var files embed.FS

// Files are the manifests as files, for kubectl. Those of kinds that are stored can be created in the order of their names.
func Files() fs.FS { return files }

// Stored returns one object of every kind that is stored, in no useful order. Namespaced ones name no namespace. The caller
// owns them.
func Stored() ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, name := range names {
		if name == ReviewsFile {
			continue
		}
		of, err := read(name)
		if err != nil {
			return nil, err
		}
		objects = append(objects, of...)
	}
	return objects, nil
}

// Reviews returns one object of every kind that is a question.
func Reviews() ([]*unstructured.Unstructured, error) { return read(ReviewsFile) }

func read(name string) ([]*unstructured.Unstructured, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), len(text))
	for {
		object := new(unstructured.Unstructured)
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read object %d of %s: %w", len(objects)+1, name, err)
		}
		objects = append(objects, object)
	}
}
