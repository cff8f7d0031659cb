// Package project makes plugins' projects, and compiles them with the tool chains of their languages.
package project

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gatehouse/plugins/sandbox"
	"gatehouse/sdk"
	gosdk "gatehouse/sdk/go"
)

// templates are the files of a new project: those in common, those in roles/ROLE, and those of its language, in LANGUAGE/common and
// LANGUAGE/ROLE. Their names end in .txt, so that no tool takes them for what they will be.
//
//go:embed templates
var templates embed.FS

const (
	// placeholder stands for the plugin's name in templates and their names.
	placeholder    = "PLUGIN"
	templateSuffix = ".txt"
	// sdkDir is where the SDK lies within a project.
	sdkDir = "sdk"
	// authorsFile is what the author says of how the plugin is run.
	authorsFile = "plugin.yaml"
	// casesFile has the cases to test it with.
	casesFile = "cases.yaml"
	// maxName leaves a plugin's name room in labels.
	maxName = 63
)

// Language is one that a plugin can be written in.
type Language string

// The languages with an SDK.
const (
	Go             Language = "go"
	Rust           Language = "rust"
	C              Language = "c"
	AssemblyScript Language = "assemblyscript"
)

// Languages lists all.
func Languages() []Language { return []Language{Go, Rust, C, AssemblyScript} }

// Roles lists those that a new plugin can begin with, the default first.
func Roles() []sandbox.Role {
	return []sandbox.Role{sandbox.Admit, sandbox.Authenticate, sandbox.Authorize}
}

// New makes a project in dir, which must be empty or not be there, for a plugin that plays a role. The last element of dir is the
// plugin's name. The plugin can be built as it is, and passes its own cases. New returns where Build will put the module.
func New(dir string, language Language, role sandbox.Role) (module string, err error) {
	if !slices.Contains(Languages(), language) {
		return "", fmt.Errorf("the language is %q, want one of %q", language, Languages())
	}
	if !slices.Contains(Roles(), role) {
		return "", fmt.Errorf("the role is %q, want one of %q", role, Roles())
	}
	name, err := nameOf(dir)
	if err != nil {
		return "", err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty: name a directory that is, or is not there", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("make a project: %w", err)
	}
	if err := writeTemplates(dir, name, language, role); err != nil {
		return "", fmt.Errorf("make a project: %w", err)
	}
	source, err := sdkOf(language)
	if err != nil {
		return "", err
	}
	err = write(source, filepath.Join(dir, sdkDir), func(file string, content []byte) (string, []byte) {
		if strings.HasSuffix(file, "_test.go") || file == "source.go" {
			return "", nil
		}
		return file, content
	})
	if err != nil {
		return "", fmt.Errorf("put the SDK into a project: %w", err)
	}
	return filepath.Join(dir, name+".wasm"), nil
}

// writeTemplates writes what is the plugin's own.
func writeTemplates(dir, name string, language Language, role sandbox.Role) error {
	for _, part := range []string{
		"common", path.Join("roles", string(role)), path.Join(string(language), "common"), path.Join(string(language), string(role)),
	} {
		tree, err := fs.Sub(templates, path.Join("templates", part))
		if err != nil {
			return err
		}
		if _, err := fs.Stat(tree, "."); errors.Is(err, fs.ErrNotExist) {
			continue // not every language has files for all roles
		}
		err = write(tree, dir, func(file string, content []byte) (string, []byte) {
			file = strings.TrimSuffix(strings.ReplaceAll(file, placeholder, name), templateSuffix)
			switch file {
			case "gitignore":
				file = ".gitignore"
			case "author.yaml": // whose own name is that of the plugin's YAML where file systems do not tell upper case from lower
				file = authorsFile
			}
			return file, []byte(strings.ReplaceAll(string(content), placeholder, name))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func sdkOf(language Language) (fs.FS, error) {
	if language == Go {
		return gosdk.Source, nil
	}
	return fs.Sub(sdk.Sources, string(language))
}

// nameOf is the plugin that a directory is for.
func nameOf(dir string) (string, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	name := filepath.Base(absolute)
	if !regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`).MatchString(name) || len(name) > maxName {
		return "", fmt.Errorf("%q is no plugin's name: call the directory something of at most %d lower case letters, digits and -", name, maxName)
	}
	if file := name + ".yaml"; file == authorsFile || file == casesFile {
		return "", fmt.Errorf("no plugin can be called %q here, for its YAML would be %s, which a project has for something else: call the directory otherwise", name, file)
	}
	return name, nil
}

// write copies files into a directory, under the names and with the content that change gives them; without a name one is left out.
func write(from fs.FS, dir string, change func(file string, content []byte) (string, []byte)) error {
	return fs.WalkDir(from, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, file)
		if err != nil {
			return err
		}
		name, content := change(file, content)
		if name == "" {
			return nil
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}
