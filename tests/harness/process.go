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
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// stopGrace is how long a server may take to end: more than it gives the requests under way.
const stopGrace = time.Minute

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
	options Options
	command *exec.Cmd
	log     Log
	started time.Time
	address string // set by WaitReady

	// exited closes when the process has ended; failure is set before that.
	exited  chan struct{}
	failure error
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
	p := &Process{options: options, command: exec.Command(options.Binary, args...), exited: make(chan struct{})}
	p.command.Env = append(environ(), options.Env...)
	p.command.Stdout, p.command.Stderr = &p.log, &p.log
	p.command.SysProcAttr = endWithParent()
	p.started = time.Now()
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("launch %s: %w", p.command, err)
	}
	go func() {
		defer close(p.exited)
		p.failure = p.command.Wait()
	}()
	return p, nil
}

// environ is this process's environment without gatehouse's settings: the machine's own are not what is tested.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(setting string) bool { return strings.HasPrefix(setting, "GATEHOUSE_") })
}

// PID is the process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Started is when the process was started.
func (p *Process) Started() time.Time { return p.started }

// Address is the host:port it listens on, known once WaitReady has returned.
func (p *Process) Address() string { return p.address }

// Log is what the process has printed so far.
func (p *Process) Log() *Log { return &p.log }

// Exited closes when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

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

// Kill ends the process as kill -9 does and waits until it is gone. One that is gone already is no error.
func (p *Process) Kill() error {
	if err := p.command.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the server: %w", err)
	}
	<-p.exited
	return nil
}

// Terminate asks the process to end, and returns at once.
func (p *Process) Terminate() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("terminate the server: %w", err)
	}
	return nil
}

// Stop asks the process to end and waits until it has. It is an error if it was gone already, ends in any way but with exit
// code 0, or takes too long.
func (p *Process) Stop() error {
	if err := p.Terminate(); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(stopGrace):
		return errors.Join(fmt.Errorf("stop the server: still there %s after SIGTERM", stopGrace), p.Kill())
	}
	if p.failure != nil {
		return fmt.Errorf("stop the server: %w", p.failure)
	}
	return nil
}
