package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options say how to run a server. The zero value is the plain binary with its defaults.
type Options struct {
	// Variant of the binary. Default: Plain.
	Variant Variant
	// Binary is a ready-made binary to run instead.
	Binary string
	// DataDir holds the server's files, from earlier runs or none. Required by Launch; Start defaults to a new directory.
	DataDir string
	// Flags are added to the command line of serve, after --data-dir and --listen.
	Flags []string
	// Env is added to this process's environment, of which the server gets all but the variables that would configure it.
	Env []string
	// Patience is how long to wait for the server to be ready. Default: a minute.
	Patience time.Duration
}

// Process is one run of a server. Its methods are safe for concurrent use once WaitReady has returned.
type Process struct {
	Program
	options Options
	address string // set by WaitReady
}

// Launch starts a server on a free port of the loopback interface and returns at once. The caller ends it with Stop or Kill;
// on Linux it does not outlive this process.
func Launch(ctx context.Context, options Options) (*Process, error) {
	if options.DataDir == "" {
		return nil, errors.New("launch a server: no data directory given")
	}
	if options.Patience == 0 {
		options.Patience = time.Minute
	}
	if options.Binary == "" {
		binary, err := Binary(ctx, options.Variant)
		if err != nil {
			return nil, err
		}
		options.Binary = binary
	}
	args := append([]string{"serve", "--data-dir", options.DataDir, "--listen", "127.0.0.1:0"}, options.Flags...)
	command := exec.Command(options.Binary, args...)
	command.Env = append(environ(), options.Env...)
	p := &Process{options: options}
	if err := p.launch("the server", command); err != nil {
		return nil, err
	}
	return p, nil
}

// environ is this process's environment without gatehouse's settings: the machine's own are not what is tested.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(setting string) bool { return strings.HasPrefix(setting, "GATEHOUSE_") })
}

// Address is the host:port it listens on, known once WaitReady has returned.
func (p *Process) Address() string { return p.address }

// Kubeconfig is the file that the server wrote for its administrator.
func (p *Process) Kubeconfig() string { return filepath.Join(p.options.DataDir, "admin.kubeconfig") }

// ClientConfig is the administrator's, without limits on the client's side.
func (p *Process) ClientConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", p.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the administrator's kubeconfig: %w", err)
	}
	config.QPS = -1
	config.UserAgent = "gatehouse-test"
	return config, nil
}
