// Command generate makes the OpenAPI documents that package openapi embeds.
//
// Module k8s.io/kubernetes carries the documents of a real kube-apiserver, made with every API and every alpha feature turned
// on, and enumerations turned off. From these it makes what the same server says by default: the group versions named in
// served.txt, no CBOR, the enumerations from the definitions compiled into the server, the version in place of
// "unversioned". The v3 documents are then byte for byte those of a kube-apiserver of that version, and so is the v2 document
// but for the groups that are not served.
//
// The groups that are the server's own are described by kube-apiserver's code as well, from their storages and Go types.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const kubernetes = "k8s.io/kubernetes"

func main() {
	served := flag.String("served", "served.txt", "`file` that names the documents to serve")
	out := flag.String("out", "documents", "`directory` to write to; what else it holds is removed")
	flag.Parse()
	if err := run(*served, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate OpenAPI documents:", err)
		os.Exit(1)
	}
}

func run(served, out string) error {
	paths, err := readServed(served)
	if err != nil {
		return err
	}
	source, err := findSource()
	if err != nil {
		return err
	}
	files, err := source.generate(paths)
	if err != nil {
		return err
	}
	return write(out, files)
}

// readServed lists the lines of a file that are neither empty nor comments.
func readServed(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var paths []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line != "" && !strings.HasPrefix(line, "#") {
			paths = append(paths, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s names no documents", name)
	}
	return paths, nil
}

// findSource finds the published documents in the module cache.
func findSource() (*source, error) {
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}\n{{.Version}}", kubernetes).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("find module %s: %w", kubernetes, err)
	}
	dir, version, ok := strings.Cut(strings.TrimSpace(string(output)), "\n")
	if !ok || dir == "" {
		return nil, fmt.Errorf("module %s is not in the module cache; run: go mod download %s", kubernetes, kubernetes)
	}
	return newSource(os.DirFS(filepath.Join(dir, "api", "openapi-spec")), version)
}

// write makes dir hold files and nothing else.
func write(dir string, files map[string][]byte) error {
	for name, content := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if _, wanted := files[filepath.ToSlash(relative)]; !wanted {
			return os.Remove(name)
		}
		return nil
	})
}
