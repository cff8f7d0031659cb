package examples_test

import (
	"os"
	"path/filepath"
	"testing"

	"gatehouse/plugins/cases"
	"gatehouse/tests/harness"
)

func TestExamplesPassTheirCases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("*", "cases.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no cases: %v", err)
	}
	for _, file := range files {
		name := filepath.Dir(file)
		t.Run(name, func(t *testing.T) {
			wasm, manifest, err := harness.Example(t.Context(), name)
			harness.SkipMissing(t, err)
			p := cases.Plugin{Name: name}
			if p.Module, err = os.ReadFile(wasm); err != nil {
				t.Fatal(err)
			}
			if p.Manifest, err = os.ReadFile(manifest); err != nil {
				t.Fatal(err)
			}
			all, err := cases.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			results, err := p.Run(t.Context(), all)
			if err != nil {
				t.Fatal(err)
			}
			for _, result := range results {
				if len(result.Problems) > 0 {
					t.Errorf("%s: %q\n%s", result.Name, result.Problems, result.Log)
				}
			}
		})
	}
}
