package harness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// compileAssemblyScript does what the README of such a plugin says, npm ci and npm run build, but in a copy of the plugin and
// the SDK, so that nothing is left in the source tree. The compiler comes from the npm registry, once for each lock file.
func compileAssemblyScript(ctx context.Context, root, dir, _ string) (string, error) {
	for _, tool := range []string{"node", "npm"} {
		if !inPath(tool) {
			return "", &MissingTool{Language: "AssemblyScript", Tool: tool, Install: "apt-get install nodejs npm"}
		}
	}
	cache, err := cacheDir(root)
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, "assemblyscript.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	copies := filepath.Join(cache, "assemblyscript")
	plugin, err := filepath.Rel(root, dir)
	if err != nil {
		return "", err
	}
	var sources bytes.Buffer
	for _, tree := range []string{filepath.Join("sdk", "assemblyscript"), plugin} {
		sum, err := mirror(filepath.Join(root, tree), filepath.Join(copies, tree))
		if err != nil {
			return "", fmt.Errorf("copy %s to compile it: %w", tree, err)
		}
		sources.WriteString(sum)
	}
	dir = filepath.Join(copies, plugin)
	wasm := filepath.Join(dir, "build", filepath.Base(dir)+".wasm")
	return wasm, once(filepath.Join(dir, "build", "sources"), sources.String(), func() error { return npmBuild(ctx, dir) })
}

// npmBuild compiles the plugin in dir, and gets what it needs before if that is not there yet.
func npmBuild(ctx context.Context, dir string) error {
	locked, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("compile the plugin: it must lock what it needs (npm install): %w", err)
	}
	err = once(filepath.Join(dir, "node_modules", ".installed"), string(locked), func() error {
		_, err := command(ctx, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
		return err
	})
	if err != nil {
		return err
	}
	_, err = command(ctx, dir, nil, "npm", "run", "build")
	return err
}

// once runs make unless it was the last to succeed with this input, of which the file mark keeps the record.
func once(mark, input string, make func() error) error {
	if done, err := os.ReadFile(mark); err == nil && string(done) == input {
		return nil
	}
	if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := make(); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(input), 0o644)
}

// mirror makes the files of a copy those of a source, and returns a hash of them. What npm makes of them is no source, and stays.
func mirror(source, target string) (sum string, err error) {
	if err := removeSources(target); err != nil {
		return "", err
	}
	hash := sha256.New()
	err = filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && isMade(entry.Name()):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%q %x\n", name, sha256.Sum256(content))
		if err := os.MkdirAll(filepath.Dir(filepath.Join(target, name)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(target, name), content, 0o644)
	})
	return hex.EncodeToString(hash.Sum(nil)), err
}

// removeSources removes the sources of a copy.
func removeSources(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if isMade(entry.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// isMade says of a directory's name that npm and the compiler write there.
func isMade(name string) bool { return name == "node_modules" || name == "build" }
