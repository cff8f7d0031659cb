package project

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/plugins"
	"gatehouse/plugins/cases"
	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/sandbox"
)

func TestANewProjectBuildsAndPassesItsCases(t *testing.T) {
	for _, language := range Languages() {
		for _, role := range Roles() {
			t.Run(fmt.Sprintf("%s in %s", role, language), func(t *testing.T) { newBuilds(t, language, role) })
		}
	}
}

func newBuilds(t *testing.T, language Language, role sandbox.Role) {
	dir := filepath.Join(t.TempDir(), "who-owns")
	if _, err := New(dir, language, role); err != nil {
		t.Fatal(err)
	}
	wasm, err := Build(t.Context(), dir)
	var missing *MissingTool
	if errors.As(err, &missing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "who-owns.wasm"); wasm != want {
		t.Errorf("the module is %s, want %s", wasm, want)
	}
	plugin, err := cases.ReadPlugin(wasm)
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(filepath.Join(dir, authorsFile))
	if err != nil {
		t.Fatal(err)
	}
	if outline, err := binary.Read(plugin.Module); err != nil || !slices.EqualFunc(outline.CustomAll(plugins.DefaultsSection), [][]byte{said}, bytes.Equal) {
		t.Errorf("the module does not hold %s once: %v", authorsFile, err)
	}
	all, err := cases.Load(filepath.Join(dir, "cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	results, err := plugin.Run(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		if len(result.Problems) > 0 {
			t.Errorf("%s: %q\n%s", result.Name, result.Problems, result.Log)
		}
	}
}

func TestAProjectDoesNotOverwriteWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "something"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		dir      string
		language Language
		role     sandbox.Role
		want     string
	}{
		{taken, Go, sandbox.Admit, "taken is not empty"},
		{file, Go, sandbox.Authorize, "make a project: "},
		{filepath.Join(dir, "a"), Go, "judge", `the role is "judge", want one of ["admit" "authenticate" "authorize"]`},
		{filepath.Join(dir, "a"), "cobol", sandbox.Admit, `the language is "cobol", want one of ["go" "rust" "c" "assemblyscript"]`},
		{filepath.Join(dir, "Not_This"), Go, sandbox.Admit, `"Not_This" is no plugin's name`},
		{filepath.Join(dir, "plugin"), Go, sandbox.Admit, `no plugin can be called "plugin" here`},
		{filepath.Join(dir, "cases"), Go, sandbox.Admit, `no plugin can be called "cases" here`},
		{filepath.Join(dir, strings.Repeat("a", 64)), Go, sandbox.Admit, "is no plugin's name"},
	} {
		if _, err := New(test.dir, test.language, test.role); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s in %s: %v, want %q", test.dir, test.language, err, test.want)
		}
	}
}

func TestWhatIsWrongWithAProjectIsTold(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), empty); err == nil || !strings.Contains(err.Error(), "is no plugin's project") {
		t.Errorf("an empty directory: %v", err)
	}
	demanding := filepath.Join(t.TempDir(), "demanding")
	if _, err := New(demanding, C, sandbox.Admit); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(demanding, authorsFile), []byte("capabilities: {cache: {}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), demanding); err == nil || !strings.HasPrefix(err.Error(), "plugin.yaml: capabilities: are the operator's to grant") {
		t.Errorf("an author who grants: %v", err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if _, err := New(broken, Go, sandbox.Admit); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "main.go"), []byte("package main\n\nfunc main() { nothing() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "main.go:3:15: undefined: nothing") {
		t.Errorf("a mistake in a program: %v", err)
	}
}

func TestAMissingToolIsNamed(t *testing.T) {
	for language, want := range map[Language]string{
		Go: "plugins in go cannot be compiled here, for there is no go: ", C: "for there is no clang: apt-get install clang",
		AssemblyScript: "for there is no node: apt-get install nodejs",
	} {
		dir := filepath.Join(t.TempDir(), "a-plugin")
		if _, err := New(dir, language, sandbox.Admit); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		if _, err := Build(t.Context(), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", language, err, want)
		}
	}
}
