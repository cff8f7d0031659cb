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
	"syscall"
)

const (
	// binaryVariable names a ready-made gatehouse to test instead of one built from this tree.
	binaryVariable = "GATEHOUSE_TEST_BINARY"
	// raceVariable, when not empty, makes every server a race-enabled one.
	raceVariable = "GATEHOUSE_TEST_RACE"
	// kubectlVariable names a ready-made kubectl.
	kubectlVariable = "GATEHOUSE_TEST_KUBECTL"
	// componentsVariable names a ready-made program of a cluster's components.
	componentsVariable = "GATEHOUSE_TEST_COMPONENTS"
)

// Variant is a way to build the server.
type Variant string

// The variants of the server's binary.
const (
	// Plain is what users run.
	Plain Variant = "gatehouse"
	// Race stops at the first data race it sees, and is several times slower.
	Race Variant = "gatehouse-race"
)

// Binary builds the server from this tree and returns the file's path. It takes a second when nothing changed, for the tool
// chain caches its work. Safe to call at the same time, from several processes, too.
func Binary(ctx context.Context, variant Variant) (string, error) {
	if given := os.Getenv(binaryVariable); given != "" {
		return filepath.Abs(given)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	if variant == "" {
		variant = Plain
	}
	var flags []string
	if variant == Race || os.Getenv(raceVariable) != "" {
		variant, flags = Race, []string{"-race"}
	}
	return build(ctx, root, target{dir: root, name: string(variant), flags: flags})
}

// kubernetesVersion is what Kubernetes' programs say of themselves, and by which kubectl judges how far it is from the server's.
const kubernetesVersion = "v1.37.2"

// kubernetesFlags are how Kubernetes' programs are linked.
func kubernetesFlags() []string {
	return []string{"-ldflags=-X k8s.io/component-base/version.gitVersion=" + kubernetesVersion}
}

// Kubectl builds the pinned kubectl from its tool module and returns the file's path.
func Kubectl(ctx context.Context) (string, error) {
	return tool(ctx, kubectlVariable, "kubectl", kubernetesFlags()...)
}

// Components builds the pinned components of a cluster, all in one program, from their tool module and returns the file's path.
func Components(ctx context.Context) (string, error) {
	return tool(ctx, componentsVariable, "components", kubernetesFlags()...)
}

// tool builds the program of a module in this directory's parent, unless the variable names a ready-made one.
func tool(ctx context.Context, variable, module string, flags ...string) (string, error) {
	if given := os.Getenv(variable); given != "" {
		return filepath.Abs(given)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	return build(ctx, root, target{dir: filepath.Join(root, "tests", module), name: module, flags: flags})
}

// Example compiles an example plugin to WebAssembly and returns the file's path, and that of the YAML that goes with it. Its
// errors are those of Plugin.
func Example(ctx context.Context, name string) (wasm, yaml string, err error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", "", err
	}
	wasm, err = Plugin(ctx, "examples/"+name)
	return wasm, filepath.Join(root, "examples", name, name+".yaml"), err
}

// Guest is the path of a WebAssembly module that fails, or works, in the way it is named after: "trap", "loop", "allow".
func Guest(ctx context.Context, name string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "plugins", "testdata", name+".wasm"), nil
}

// target is a main package to build.
type target struct {
	dir, name  string
	flags, env []string
}

// build compiles a main package to a file of its name. The file stays where it is, so that the linker need not run again for
// the same sources.
func build(ctx context.Context, root string, t target) (string, error) {
	cache, err := cacheDir(root)
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, t.name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	file := filepath.Join(cache, t.name)
	// What is tested does not depend on which commit is tested, or whether there is one.
	args := append([]string{"build", "-buildvcs=false", "-o", file}, t.flags...)
	if _, err := goCommand(ctx, t.dir, t.env, append(args, ".")...); err != nil {
		return "", fmt.Errorf("build %s: %w", t.name, err)
	}
	return file, nil
}

// cacheDir is where the binaries of the tree at root lie, apart from those of other trees.
func cacheDir(root string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	sum := sha256.Sum256([]byte(root))
	dir := filepath.Join(base, "gatehouse-tests", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a directory for test binaries: %w", err)
	}
	return dir, nil
}

// lock waits until this process alone has the file.
func lock(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of a test binary: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// moduleRoot is the directory of the go.mod that the working directory belongs to.
func moduleRoot(ctx context.Context) (string, error) {
	mod, err := goCommand(ctx, "", nil, "env", "GOMOD")
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	if mod == "" || mod == os.DevNull {
		return "", errors.New("find the module: the working directory is in none; run within gatehouse's source tree")
	}
	return filepath.Dir(mod), nil
}

// goCommand runs the Go tool chain, as command does.
func goCommand(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	return command(ctx, dir, env, "go", args...)
}

// command runs a program in dir, with variables added to the environment, and returns what it printed.
func command(ctx context.Context, dir string, env []string, program string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}
