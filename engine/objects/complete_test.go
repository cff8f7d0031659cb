package objects_test

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const upstreamSuite = "k8s.io/apiserver/pkg/storage/testing"

// exceptions are the functions of upstream's suite that are not run here, and why.
var exceptions = map[string]string{
	"RunBenchmarkStoreList":       "a benchmark of upstream's cache with its own data and indexes",
	"RunBenchmarkStoreStats":      "a benchmark of upstream's cache",
	"RunBenchmarkWriteThroughput": "a benchmark of upstream's cache with its own data and indexes",
}

// TestUpstreamSuiteIsComplete fails when upstream's suite has a test that is neither run nor excused, as after an update.
func TestUpstreamSuiteIsComplete(t *testing.T) {
	suite, err := build.Import(upstreamSuite, ".", build.FindOnly)
	if err != nil {
		t.Fatalf("find upstream's suite: %v", err)
	}
	offered := map[string]bool{}
	for _, file := range parseDir(t, suite.Dir, func(name string) bool { return !strings.HasSuffix(name, "_test.go") }) {
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Run") {
				offered[f.Name.Name] = true
			}
		}
	}
	if len(offered) < 60 {
		t.Fatalf("found only %d tests in %s; has the suite moved?", len(offered), suite.Dir)
	}
	used := map[string]bool{}
	for _, file := range parseDir(t, ".", func(name string) bool { return name == "suite_test.go" }) {
		ast.Inspect(file, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				if from, ok := selector.X.(*ast.Ident); ok && from.Name == "storagetesting" {
					used[selector.Sel.Name] = true
				}
			}
			return true
		})
	}
	var missing, stale []string
	for name := range offered {
		if _, excused := exceptions[name]; !excused && !used[name] {
			missing = append(missing, name)
		}
	}
	for name := range exceptions {
		if used[name] || !offered[name] {
			stale = append(stale, name)
		}
	}
	slices.Sort(missing)
	if diff := cmp.Diff([]string(nil), missing); diff != "" {
		t.Errorf("tests of upstream that are not run (+):\n%s", diff)
	}
	if len(stale) > 0 {
		t.Errorf("exceptions that are none any more: %v", stale)
	}
}

func parseDir(t *testing.T, dir string, wanted func(name string) bool) []*ast.File {
	t.Helper()
	var files []*ast.File
	packageFiles, err := build.ImportDir(dir, 0)
	if err != nil {
		t.Fatalf("read %s: %v", dir, err)
	}
	for _, name := range slices.Concat(packageFiles.GoFiles, packageFiles.XTestGoFiles) {
		if !wanted(name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("parse %s: %v", name, err)
		}
		files = append(files, file)
	}
	return files
}
