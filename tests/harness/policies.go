package harness

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// OPA builds the part of the command opa that compiles and evaluates Rego, from its tool module, and returns the file's path.
func OPA(ctx context.Context) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	return build(ctx, root, target{dir: filepath.Join(root, "tests", "opa"), name: "opa"})
}

// compileRego compiles all policies of a directory into one module, by OPA's compiler.
func compileRego(ctx context.Context, root, dir, name string) (string, error) {
	opa, err := OPA(ctx)
	if err != nil {
		return "", err
	}
	policies, err := filepath.Glob(filepath.Join(dir, "*.rego"))
	if err != nil {
		return "", err
	}
	cache, err := cacheDir(root)
	if err != nil {
		return "", err
	}
	return intoPlace(filepath.Join(cache, name), func(file string) error {
		_, err := command(ctx, dir, nil, opa, append([]string{"build", file}, policies...)...)
		return err
	})
}

// kubewardenMetadata is the file that Kubewarden's tools put into a policy, as the section that is called the same there.
const (
	kubewardenMetadata = "metadata.yml"
	kubewardenSection  = "io.kubewarden.metadata"
)

// compileKubewarden compiles a policy in Go or Rust and annotates it, as `kwctl annotate` does.
func compileKubewarden(ctx context.Context, root, dir, name string) (string, error) {
	annotation, mode, err := readKubewardenMetadata(filepath.Join(dir, kubewardenMetadata))
	if err != nil {
		return "", err
	}
	compile := func() (string, error) { return compileKubewardenGo(ctx, root, dir, "plain-"+name, mode) }
	if _, err := os.Stat(filepath.Join(dir, "Cargo.toml")); err == nil {
		compile = func() (string, error) { return compileRust(ctx, root, dir, "plain-"+name) }
	}
	plain, err := compile()
	if err != nil {
		return "", err
	}
	wasm, err := os.ReadFile(plain)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir(root)
	if err != nil {
		return "", err
	}
	return intoPlace(filepath.Join(cache, name), func(file string) error {
		return os.WriteFile(file, appendSection(wasm, kubewardenSection, annotation), 0o600)
	})
}

// compileKubewardenGo compiles a policy in Go: one for WASI is a command, one for waPC a library.
func compileKubewardenGo(ctx context.Context, root, dir, name, mode string) (string, error) {
	flags := []string{"-ldflags=-s -w"}
	if mode != "wasi" {
		flags = append(flags, "-buildmode=c-shared")
	}
	return build(ctx, root, target{
		dir:   dir,
		name:  name,
		flags: flags,
		env:   []string{"GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off"},
	})
}

func readKubewardenMetadata(file string) (annotation []byte, mode string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	if annotation, err = yaml.YAMLToJSON(text); err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	var metadata struct {
		ExecutionMode string `json:"executionMode"`
	}
	err = json.Unmarshal(annotation, &metadata)
	return annotation, metadata.ExecutionMode, err
}

// appendSection adds a custom section to a module.
func appendSection(wasm []byte, name string, content []byte) []byte {
	body := binary.AppendUvarint(nil, uint64(len(name)))
	body = append(append(body, name...), content...)
	wasm = binary.AppendUvarint(append(wasm, 0), uint64(len(body)))
	return append(wasm, body...)
}
