package project

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/binary"
)

// MissingTool is the error of a project that cannot be compiled here, for want of something that its language needs.
type MissingTool struct {
	// Language is the project's, Tool what there is not, and Install says how to get it.
	Language      Language
	Tool, Install string
}

// Error implements error.
func (e *MissingTool) Error() string {
	return fmt.Sprintf("plugins in %s cannot be compiled here, for there is no %s: %s", e.Language, e.Tool, e.Install)
}

// rustTarget needs no C library.
const rustTarget = "wasm32-unknown-unknown"

// builder compiles one project.
type builder struct {
	dir, name string
	// out is where the module is to be.
	out string
}

// Build compiles the project in dir and returns the module's path, NAME.wasm in it. The language is known by the project's files. The
// error is a *MissingTool, or wraps one, where the machine lacks something; otherwise it has what the compiler printed. What
// tools there are is for the environment's PATH to say. Cancelling ctx ends the compiler. plugin.yaml, if it is there, becomes the
// module's section plugins.DefaultsSection.
func Build(ctx context.Context, dir string) (wasm string, err error) {
	name, err := nameOf(dir)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	b := builder{dir: dir, name: name, out: filepath.Join(dir, name+".wasm")}
	section, err := b.readSection()
	if err != nil {
		return "", err
	}
	for _, known := range []struct {
		pattern string
		build   func(context.Context) error
	}{{"go.mod", b.buildGo}, {"Cargo.toml", b.buildRust}, {"asconfig.json", b.buildAssemblyScript}, {"*.c", b.buildC}} {
		found, err := filepath.Glob(filepath.Join(dir, known.pattern))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			if err := known.build(ctx); err != nil {
				return "", err
			}
			return b.out, b.addSection(section)
		}
	}
	return "", fmt.Errorf("%s is no plugin's project: there is none of go.mod, Cargo.toml, asconfig.json and *.c; "+
		"`gatehouse plugin new` makes one", dir)
}

// readSection reads what the author says of the plugin; nil for nothing.
func (b *builder) readSection() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(b.dir, authorsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = plugins.CheckDefaults(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", authorsFile, err)
	}
	return text, nil
}

// addSection puts it into the module.
func (b *builder) addSection(section []byte) error {
	if section == nil {
		return nil
	}
	wasm, err := os.ReadFile(b.out)
	if err == nil {
		wasm, err = binary.SetCustom(wasm, plugins.DefaultsSection, section)
	}
	if err == nil {
		err = os.WriteFile(b.out, wasm, 0o644)
	}
	if err != nil {
		return fmt.Errorf("put %s into the module: %w", authorsFile, err)
	}
	return nil
}

func (b *builder) buildGo(ctx context.Context) error {
	if _, err := exec.LookPath("go"); err != nil {
		return &MissingTool{Go, "go", "apt-get install golang, or see https://go.dev/dl; it must be Go 1.24 or newer"}
	}
	env := []string{"GOOS=wasip1", "GOARCH=wasm", "GOWORK=off"}
	_, err := b.run(ctx, env, "go", "build", "-trimpath", "-buildmode=c-shared", "-o", b.out, ".")
	return err
}

func (b *builder) buildC(ctx context.Context) error {
	if err := b.checkClang(ctx); err != nil {
		return err
	}
	args := strings.Fields("--target=wasm32-wasi -mexec-model=reactor -std=c11 -O2 -s -Wall -Wextra -Wl,--stack-first")
	args = append(args, "-I"+filepath.Join(b.dir, sdkDir), "-o", b.out)
	for _, pattern := range []string{"*.c", filepath.Join(sdkDir, "*.c")} {
		files, err := filepath.Glob(filepath.Join(b.dir, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.c") {
				args = append(args, file)
			}
		}
	}
	_, err := b.run(ctx, nil, "clang", args...)
	return err
}

// checkClang makes sure that clang has all that it needs for WebAssembly; otherwise it would say something of crt1-reactor.o.
func (b *builder) checkClang(ctx context.Context) error {
	missing := func(tool string) error {
		return &MissingTool{C, tool, "apt-get install clang lld wasi-libc libclang-rt-dev-wasm32"}
	}
	if _, err := exec.LookPath("clang"); err != nil {
		return missing("clang")
	}
	for _, part := range []struct{ tool, flag string }{
		{"linker for WebAssembly (lld)", "-print-prog-name=wasm-ld"},
		{"C library for WebAssembly (wasi-libc)", "-print-file-name=crt1-reactor.o"},
		{"run-time library of clang for WebAssembly (libclang-rt-dev-wasm32)", "-print-libgcc-file-name"},
	} {
		file, err := b.run(ctx, nil, "clang", "--target=wasm32-wasi", part.flag)
		if err != nil {
			return err
		}
		if _, err := exec.LookPath(file); err == nil {
			continue
		}
		if _, err := os.Stat(file); err != nil || !filepath.IsAbs(file) { // clang answers the mere name of what it does not find
			return missing(part.tool)
		}
	}
	return nil
}

func (b *builder) buildRust(ctx context.Context) error {
	bin, err := b.rust(ctx)
	if err != nil {
		return err
	}
	target := filepath.Join(b.dir, "target")
	env := []string{"RUSTC=" + filepath.Join(bin, "rustc"), "CARGO_TARGET_DIR=" + target}
	if _, err := b.run(ctx, env, filepath.Join(bin, "cargo"), "build", "--release", "--target", rustTarget); err != nil {
		return err
	}
	return b.take(filepath.Join(target, rustTarget, "release", strings.ReplaceAll(b.name, "-", "_")+".wasm"))
}

// rust is the directory of a rustc, with a cargo, that has the library for WebAssembly: the first of PATH, or the distribution's.
func (b *builder) rust(ctx context.Context) (string, error) {
	candidates := []string{"/usr/bin/rustc"}
	if first, err := exec.LookPath("rustc"); err == nil {
		candidates = []string{first, candidates[0]}
	}
	for _, rustc := range candidates {
		bin := filepath.Dir(rustc)
		if _, err := exec.LookPath(filepath.Join(bin, "cargo")); err != nil {
			continue
		}
		library, err := b.run(ctx, nil, rustc, "--print", "target-libdir", "--target", rustTarget)
		if err != nil {
			continue // there is none, or it does not know the target
		}
		if found, _ := filepath.Glob(filepath.Join(library, "libcore-*.rlib")); len(found) > 0 {
			return bin, nil
		}
	}
	return "", &MissingTool{Rust, "rustc and cargo with the target " + rustTarget,
		"apt-get install rustc cargo libstd-rust-dev-wasm32, or rustup target add " + rustTarget}
}

func (b *builder) buildAssemblyScript(ctx context.Context) error {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return &MissingTool{AssemblyScript, tool, "apt-get install nodejs npm"}
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, "node_modules")); errors.Is(err, fs.ErrNotExist) {
		if _, err := b.run(ctx, nil, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
			return err
		}
	}
	if _, err := b.run(ctx, nil, "npm", "run", "build"); err != nil {
		return err
	}
	return b.take(filepath.Join(b.dir, "build", b.name+".wasm"))
}

// take copies the module from where its tool chain leaves it.
func (b *builder) take(made string) error {
	content, err := os.ReadFile(made)
	if err != nil {
		return fmt.Errorf("the compiler did not make %s.wasm, is the plugin called otherwise than its directory? %w", b.name, err)
	}
	return os.WriteFile(b.out, content, 0o644)
}

// run runs a tool in the project's directory and returns what it printed on its standard output.
func (b *builder) run(ctx context.Context, env []string, tool string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, tool, args...)
	command.Dir = b.dir
	command.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		said := strings.TrimSpace(stderr.String() + stdout.String())
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(tool), args[0], err, said)
	}
	return strings.TrimSpace(stdout.String()), nil
}
