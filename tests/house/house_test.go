// Package house checks the rules of the house that a machine can check: which way imports run, that every package says what
// it is for, and that files stay of a size that can be read.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "gatehouse"

// maxLines is how long a Go file may be.
const maxLines = 600

// generated is how files begin that nobody reads, by Go's convention.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	Doc        string
	Imports    []string
	GoFiles    []string
	CgoFiles   []string
	Standard   bool
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	command := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Name,Doc,Imports,GoFiles,CgoFiles,Standard"}, args...)...)
	command.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []pkg
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// within says whether an import path is of a part of the house, such as "engine/api", or below it.
func within(path, part string) bool {
	return path == module+"/"+part || strings.HasPrefix(path, module+"/"+part+"/")
}

func TestImportsRunOneWay(t *testing.T) {
	never := []struct {
		part string
		of   []string
		why  string
	}{
		{"engine/storage", []string{"engine/objects", "engine/catalog", "engine/api", "engine/controllers", "plugins"},
			"the store knows only bytes"},
		{"engine/objects", []string{"engine/catalog", "engine/api", "engine/controllers", "plugins"}, "objects know only the store"},
		{"engine/catalog", []string{"engine/api", "engine/controllers", "plugins"}, "kinds do not know how they are asked for"},
		{"engine/api", []string{"engine/authn", "engine/authz", "engine/admission", "engine/storage", "engine/controllers", "plugins"},
			"the API is behind the gates and above the catalog"},
		{"engine/authn", []string{"engine/api", "engine/catalog", "engine/storage", "plugins"}, "a gate knows upstream's interface alone"},
		{"engine/authz", []string{"engine/api", "engine/catalog", "engine/storage", "plugins"}, "a gate knows upstream's interface alone"},
		{"engine/admission", []string{"engine/api", "engine/catalog", "engine/storage", "plugins"}, "a gate knows upstream's interface alone"},
		{"plugins", []string{"engine"}, "the WebAssembly host implements the gates' interfaces and needs no server"},
		{"engine", []string{"tests", "examples"}, "the server does not know its tests"},
	}
	for _, p := range list(t, "./...") {
		for _, rule := range never {
			if !within(p.ImportPath, rule.part) {
				continue
			}
			for _, imported := range p.Imports {
				for _, part := range rule.of {
					if within(imported, part) {
						t.Errorf("%s imports %s: %s", p.ImportPath, imported, rule.why)
					}
				}
			}
		}
	}
}

func TestServerLeavesOutWhatItReplaces(t *testing.T) {
	replaced := map[string]string{
		"k8s.io/kubernetes/pkg/controlplane":           "it is the server that we are instead of",
		"k8s.io/kubernetes/pkg/controlplane/apiserver": "it is the server that we are instead of",
		"k8s.io/kubernetes/cmd/kube-apiserver/app":     "it is the server that we are instead of",
		"testing": "tests do not belong in a server",
	}
	for _, p := range list(t, "-deps", ".") {
		if why, forbidden := replaced[p.ImportPath]; forbidden {
			t.Errorf("the server links %s: %s", p.ImportPath, why)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range list(t, "./...") {
		if p.Doc == "" && len(p.GoFiles)+len(p.CgoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestFilesAreOfAReadableSize(t *testing.T) {
	for _, p := range list(t, "./...") {
		for _, name := range append(p.GoFiles, p.CgoFiles...) {
			content, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if generated.Match(content) {
				continue
			}
			if lines := bytes.Count(content, []byte("\n")); lines > maxLines {
				t.Errorf("%s/%s has %d lines; more than %d are hard to keep in mind", p.ImportPath, name, lines, maxLines)
			}
		}
	}
}

func TestExportedIdentifiersAreDocumented(t *testing.T) {
	for _, p := range list(t, "./engine/...", "./plugins/...") {
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if ast.IsGenerated(file) {
				continue
			}
			for _, undocumented := range undocumentedIn(file) {
				t.Errorf("%s/%s: %s has no comment", p.ImportPath, name, undocumented)
			}
		}
	}
}
