package harness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// MissingTool is the error of a plugin that cannot be compiled, because this machine lacks something for its language.
type MissingTool struct {
	// Language is the one that the plugin is written in, Tool what there is not.
	Language, Tool string
	// Install says how to get it.
	Install string
}

// Error implements error.
func (e *MissingTool) Error() string {
	return fmt.Sprintf("plugins in %s cannot be compiled here, for there is no %s: %s", e.Language, e.Tool, e.Install)
}

// Excused reports whether err is of a missing tool that a developer's machine may lack. With CI set no machine may.
func Excused(err error) bool {
	var missing *MissingTool
	return errors.As(err, &missing) && os.Getenv("CI") == ""
}

// SkipMissing skips the test, or the benchmark, that cannot be run for want of a tool. Any other error ends it, and so does this
// one with CI set.
func SkipMissing(t testing.TB, err error) {
	t.Helper()
	if Excused(err) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Plugin compiles the plugin that lies in a directory of this tree, which is named by its path from the root, to WebAssembly and
// returns the file's path. The language is known by the files there. The error is a *MissingTool, or wraps one, where the
// machine lacks the compiler. Safe to call at the same time, from several processes, too.
func Plugin(ctx context.Context, path string) (wasm string, err error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, filepath.FromSlash(path))
	for _, c := range compilers() {
		found, err := filepath.Glob(filepath.Join(dir, c.known))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return c.compile(ctx, root, dir, strings.ReplaceAll(path, "/", "-")+".wasm")
		}
	}
	return "", fmt.Errorf("compile the plugin in %s: no file there tells its language", path)
}

// compiler makes plugins of those directories that have a file of the pattern known. The file it makes lies in the cache of
// this tree, under the name it is given or one of its own.
type compiler struct {
	known   string
	compile func(ctx context.Context, root, dir, name string) (wasm string, err error)
}

func compilers() []compiler {
	return []compiler{
		{kubewardenMetadata, compileKubewarden}, {"go.mod", compileGo}, {"Cargo.toml", compileRust}, {"*.c", compileC},
		{"asconfig.json", compileAssemblyScript}, {"*.rego", compileRego},
	}
}

func compileGo(ctx context.Context, root, dir, name string) (string, error) {
	return build(ctx, root, target{
		dir:   dir,
		name:  name,
		flags: []string{"-buildmode=c-shared"},
		env:   []string{"GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off"},
	})
}

// cFlags are what the SDK's header says, and all warnings that help, each of which is an error.
func cFlags() []string {
	return strings.Fields("--target=wasm32-wasi -mexec-model=reactor -std=c11 -O2 -Wl,--stack-first,--strip-debug " +
		"-Werror -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes")
}

func compileC(ctx context.Context, root, dir, name string) (string, error) {
	clang, err := clangForWasm(ctx)
	if err != nil {
		return "", err
	}
	sdk := filepath.Join(root, "sdk", "c")
	args := append(cFlags(), "-I"+sdk)
	for _, sources := range []string{dir, sdk} {
		files, err := filepath.Glob(filepath.Join(sources, "*.c"))
		if err != nil {
			return "", err
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.c") {
				args = append(args, file)
			}
		}
	}
	cache, err := cacheDir(root)
	if err != nil {
		return "", err
	}
	return intoPlace(filepath.Join(cache, name), func(file string) error {
		_, err := command(ctx, dir, nil, clang, append(args, "-o", file)...)
		return err
	})
}

// intoPlace has a file made under another name and moves it to its own, so that nobody reads half of one.
func intoPlace(file string, make func(file string) error) (string, error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), filepath.Base(file)+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, filepath.Base(file))
	if err := make(made); err != nil {
		return "", err
	}
	return file, os.Rename(made, file)
}

// clangForWasm is a clang with all that it needs for WebAssembly.
func clangForWasm(ctx context.Context) (string, error) {
	missing := func(tool string) error {
		return &MissingTool{Language: "C", Tool: tool, Install: "apt-get install clang lld wasi-libc libclang-rt-dev-wasm32"}
	}
	clang, err := exec.LookPath("clang")
	if err != nil {
		return "", missing("clang")
	}
	for _, part := range []struct{ tool, flag string }{
		{"linker for WebAssembly (lld)", "-print-prog-name=wasm-ld"},
		{"C library for WebAssembly (wasi-libc)", "-print-file-name=crt1-reactor.o"},
		{"run-time library of clang for WebAssembly (libclang-rt-dev-wasm32)", "-print-libgcc-file-name"},
	} {
		file, err := command(ctx, "", nil, clang, "--target=wasm32-wasi", part.flag)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(file); err != nil && !inPath(file) { // clang answers the mere name of what it does not find
			return "", missing(part.tool)
		}
	}
	return clang, nil
}

func inPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// rustTarget needs no C library, and every distribution has it under the same name.
const rustTarget = "wasm32-unknown-unknown"

func compileRust(ctx context.Context, root, dir, _ string) (string, error) {
	cargo, err := newCargo(ctx, root)
	if err != nil {
		return "", err
	}
	args := []string{"build", "--release", "--target", rustTarget, "--ignore-rust-version"}
	vendored, err := cargo.vendor(ctx, root, dir)
	if err != nil {
		return "", err
	}
	if _, err := cargo.run(ctx, dir, append(args, vendored...)...); err != nil {
		return "", err
	}
	crate := strings.ReplaceAll(filepath.Base(dir), "-", "_")
	return filepath.Join(cargo.out, rustTarget, "release", crate+".wasm"), nil
}

// Cargo runs cargo, quietly and without a network, in a directory of this tree that is named by its path from the root, and
// returns what it printed. Its errors are those of Plugin.
func Cargo(ctx context.Context, path string, args ...string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	cargo, err := newCargo(ctx, root)
	if err != nil {
		return "", err
	}
	return cargo.run(ctx, filepath.Join(root, filepath.FromSlash(path)), args...)
}

// cargo is one that belongs to a rustc, and where what it makes is kept.
type cargo struct{ rustc, out string }

func newCargo(ctx context.Context, root string) (*cargo, error) {
	rustc, err := rustForWasm(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir(root)
	if err != nil {
		return nil, err
	}
	// Cargo guards its directory against others. That of another compiler is another.
	return &cargo{rustc, filepath.Join(cache, "rust"+strings.ReplaceAll(filepath.Dir(rustc), string(filepath.Separator), "-"))}, nil
}

func (c *cargo) run(ctx context.Context, dir string, args ...string) (string, error) {
	bin := filepath.Dir(c.rustc)
	env := []string{"RUSTC=" + c.rustc, "RUSTDOC=" + filepath.Join(bin, "rustdoc"), "RUSTFLAGS=-D warnings", "CARGO_TARGET_DIR=" + c.out}
	args = append([]string{args[0], "--quiet", "--offline", "--locked"}, args[1:]...)
	return command(ctx, dir, env, filepath.Join(bin, "cargo"), args...)
}

// vendor gets the crates that a plugin's lock file names, once for each lock file, and returns the flags with which cargo takes them
// from there. A plugin that needs none needs no network.
func (c *cargo) vendor(ctx context.Context, root, dir string) (flags []string, err error) {
	locked, err := os.ReadFile(filepath.Join(dir, "Cargo.lock"))
	if err != nil || !bytes.Contains(locked, []byte("\nsource = ")) {
		return nil, err
	}
	cache, err := cacheDir(root)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(locked)
	crates := filepath.Join(cache, "crates-"+hex.EncodeToString(sum[:6]))
	unlock, err := lock(crates + ".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	err = once(filepath.Join(crates, ".vendored"), string(locked), func() error {
		// The registry without git, which is all that there may be, was not yet for everybody in the cargo of Debian 12.
		sparse := []string{"RUSTC_BOOTSTRAP=1", "CARGO_UNSTABLE_SPARSE_REGISTRY=true", "RUSTC=" + c.rustc}
		_, err := command(ctx, dir, sparse, filepath.Join(filepath.Dir(c.rustc), "cargo"), "vendor", "--quiet", "--locked", crates)
		return err
	})
	return []string{
		"--config", `source.crates-io.replace-with="vendored"`, "--config", fmt.Sprintf("source.vendored.directory=%q", crates),
	}, err
}

// rustForWasm is a rustc, with a cargo beside it, that has the library for WebAssembly.
func rustForWasm(ctx context.Context) (string, error) {
	candidates := []string{"/usr/bin/rustc"} // the distribution's, where another one comes first that has no such library
	if first, err := exec.LookPath("rustc"); err == nil {
		candidates = []string{first, candidates[0]}
	}
	for _, rustc := range candidates {
		if _, err := os.Stat(rustc); err != nil {
			continue
		}
		library, err := command(ctx, "", nil, rustc, "--print", "target-libdir", "--target", rustTarget)
		if err != nil {
			continue // it does not know the target
		}
		if found, _ := filepath.Glob(filepath.Join(library, "libcore-*.rlib")); len(found) > 0 && inPath(filepath.Join(filepath.Dir(rustc), "cargo")) {
			return rustc, nil
		}
	}
	return "", &MissingTool{
		Language: "Rust", Tool: "rustc with the target " + rustTarget,
		Install: "apt-get install rustc cargo libstd-rust-dev-wasm32, or rustup target add " + rustTarget,
	}
}
