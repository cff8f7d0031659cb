package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"gatehouse/engine/api/openapi/internal/archive"
)

// TestCommittedDocumentsAreUpToDate fails when served.txt, the generator or the Kubernetes module changed and nobody ran
// go generate.
func TestCommittedDocumentsAreUpToDate(t *testing.T) {
	paths, err := readServed(filepath.Join("..", "served.txt"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := findSource()
	if err != nil {
		t.Fatal(err)
	}
	want, err := source.generate(paths)
	if err != nil {
		t.Fatal(err)
	}
	got := readDir(t, filepath.Join("..", "documents"))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Fatalf("files to be added (-) or removed (+) by go generate ./engine/api/openapi:\n%s", diff)
	}
	for name := range want {
		// Compressed, they may differ from one Go release to the next.
		if !bytes.Equal(plain(t, name, want[name]), plain(t, name, got[name])) {
			t.Errorf("%s is not what go generate ./engine/api/openapi makes", name)
		}
	}
}

func readDir(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(relative)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func plain(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	if !strings.HasSuffix(name, ".gz") {
		return content
	}
	reader, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if content, err = io.ReadAll(reader); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return content
}

// small is a source of one group version, as if published by a server that serves two.
func small() *source {
	const info = `"info":{"title":"Kubernetes","version":"unversioned"}`
	return &source{
		version: "1.37",
		published: fstest.MapFS{
			"v3/apis__example.com__v1_openapi.json": {Data: []byte(`{"openapi":"3.0.0",` + info + `,"paths":{"/apis/example.com/v1/things":{
				"get":{"responses":{"200":{"description":"OK","content":{
					"application/json":{"schema":{"$ref":"#/components/schemas/Thing"}},"application/cbor":{}}}},
					"x-kubernetes-group-version-kind":{"group":"example.com","kind":"Thing","version":"v1"}}}},
				"components":{"schemas":{"Thing":{"type":"object","description":"A thing.",
					"x-kubernetes-group-version-kind":[{"group":"example.com","kind":"Thing","version":"v1"}],
					"properties":{"size":{"type":"string"},"sizes":{"type":"array","items":{"type":"string"}},
						"sizeOf":{"type":"object","additionalProperties":{"type":"string"}}}}}}}`)},
			"swagger.json": {Data: []byte(`{"swagger":"2.0",` + info + `,"paths":{
				"/apis/example.com/v1/things":{"get":{"produces":["application/json","application/cbor"],
					"parameters":[{"$ref":"#/parameters/pretty"}],
					"responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/Thing"}}}}},
				"/apis/example.com/v2/things":{"get":{"parameters":[{"$ref":"#/parameters/unused"}],
					"responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/Unused"}}}}}},
				"parameters":{"pretty":{"name":"pretty","in":"query","type":"string"},
					"unused":{"name":"unused","in":"query","type":"string"}},
				"definitions":{"Thing":{"type":"object","properties":{"size":{"type":"string"},"part":{"$ref":"#/definitions/Part"}}},
					"Part":{"type":"object","properties":{"whole":{"$ref":"#/definitions/Thing"}}},
					"Unused":{"type":"object"}}}`)},
		},
		compiled: map[string]common.OpenAPIDefinition{"Thing": {Schema: spec.Schema{SchemaProps: spec.SchemaProps{
			Description: "A thing.",
			Properties: map[string]spec.Schema{
				"size":   *sizes(),
				"sizes":  {SchemaProps: spec.SchemaProps{Items: &spec.SchemaOrArray{Schema: sizes()}}},
				"sizeOf": {SchemaProps: spec.SchemaProps{AdditionalProperties: &spec.SchemaOrBool{Schema: sizes()}}},
			},
		}}}},
	}
}

func sizes() *spec.Schema {
	return &spec.Schema{SchemaProps: spec.SchemaProps{Description: "Possible enum values: small, big", Enum: []any{"small", "big"}}}
}

func TestDocumentsHaveOnlyWhatIsServed(t *testing.T) {
	files, err := small().generate([]string{"apis/example.com/v1"})
	if err != nil {
		t.Fatal(err)
	}
	v2 := &spec.Swagger{}
	if err := json.Unmarshal(plain(t, "v2.json.gz", files["v2.json.gz"]), v2); err != nil {
		t.Fatal(err)
	}
	v3 := &spec3.OpenAPI{}
	if err := json.Unmarshal(plain(t, "v3.gz", files["v3/apis/example.com/v1.json.gz"]), v3); err != nil {
		t.Fatal(err)
	}

	t.Run("in their version", func(t *testing.T) {
		if v2.Info.Version != "1.37" || v3.Info.Version != "1.37" {
			t.Errorf("got %s and %s", v2.Info.Version, v3.Info.Version)
		}
	})
	t.Run("without the paths of other group versions and what only those need", func(t *testing.T) {
		if diff := cmp.Diff([]string{"/apis/example.com/v1/things"}, slices.Collect(maps.Keys(v2.Paths.Paths))); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"pretty"}, slices.Collect(maps.Keys(v2.Parameters))); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"Part", "Thing"}, slices.Sorted(maps.Keys(v2.Definitions))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("without CBOR", func(t *testing.T) {
		for name, content := range files {
			if bytes.Contains(plain(t, name, content), []byte("cbor")) {
				t.Errorf("%s mentions it", name)
			}
		}
	})
	t.Run("with enumerations", func(t *testing.T) {
		thing := v3.Components.Schemas["Thing"]
		for name, schema := range map[string]spec.Schema{
			"property of v3": thing.Properties["size"],
			"list item":      *thing.Properties["sizes"].Items.Schema,
			"map value":      *thing.Properties["sizeOf"].AdditionalProperties.Schema,
			"property of v2": v2.Definitions["Thing"].Properties["size"],
		} {
			if diff := cmp.Diff([]any{"small", "big"}, schema.Enum); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if schema.Description != sizes().Description {
				t.Errorf("%s: description is %q", name, schema.Description)
			}
		}
	})
	t.Run("with an entity tag for each in the index", func(t *testing.T) {
		var index archive.Index
		if err := json.Unmarshal(files[archive.IndexFile], &index); err != nil {
			t.Fatal(err)
		}
		want := archive.Index{
			V2: archive.ETag(plain(t, "v2.json.gz", files["v2.json.gz"])),
			V3: map[string]string{"apis/example.com/v1": archive.ETag(plain(t, "v3.gz", files["v3/apis/example.com/v1.json.gz"]))},
		}
		if diff := cmp.Diff(want, index); diff != "" {
			t.Error(diff)
		}
	})
}

func TestGeneratorRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*source, fstest.MapFS)
		paths  []string
		want   string
	}{
		"a document that is not published": {
			change: func(*source, fstest.MapFS) {},
			paths:  []string{"apis/example.com/v9"},
			want:   "v3 document apis/example.com/v9",
		},
		"a v2 document that lacks a served path": {
			change: func(_ *source, files fstest.MapFS) {
				files["swagger.json"].Data = []byte(`{"swagger":"2.0","info":{"title":"","version":""},"paths":{}}`)
			},
			paths: []string{"apis/example.com/v1"},
			want:  "0 of the 1 paths",
		},
		"a definition that is missing": {
			change: func(_ *source, files fstest.MapFS) {
				files["swagger.json"].Data = bytes.ReplaceAll(files["swagger.json"].Data, []byte(`"Part":{`), []byte(`"Other":{`))
			},
			paths: []string{"apis/example.com/v1"},
			want:  "definition Part is referred to but missing",
		},
		"a parameter that is missing": {
			change: func(_ *source, files fstest.MapFS) {
				files["swagger.json"].Data = bytes.ReplaceAll(files["swagger.json"].Data, []byte(`"pretty":{`), []byte(`"other":{`))
			},
			paths: []string{"apis/example.com/v1"},
			want:  "parameter pretty is referred to but missing",
		},
		"definitions of one name that differ": {
			change: func(s *source, files fstest.MapFS) {
				other := bytes.ReplaceAll(files["v3/apis__example.com__v1_openapi.json"].Data, []byte(`"sizes"`), []byte(`"lengths"`))
				files["v3/apis__example.com__v2_openapi.json"] = &fstest.MapFile{Data: other}
			},
			paths: []string{"apis/example.com/v1", "apis/example.com/v2"},
			want:  "definition Thing differs",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source := small()
			test.change(source, source.published.(fstest.MapFS))
			if _, err := source.generate(test.paths); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("want an error with %q, got %v", test.want, err)
			}
		})
	}
}

func TestWrittenDirectoryHoldsNothingElse(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir, map[string][]byte{"old.gz": []byte("1"), "v3/kept.gz": []byte("2")}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"v3/kept.gz": []byte("3"), "v3/apis/new.gz": []byte("4")}
	if err := write(dir, want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, readDir(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestServedFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "served.txt")
	for content, want := range map[string][]string{
		"# comment\n\napi/v1\n  apis/apps/v1  \n": {"api/v1", "apis/apps/v1"},
		"# nothing\n": nil,
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readServed(name)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if (err != nil) != (want == nil) {
			t.Errorf("%q: got error %v", content, err)
		}
	}
}
