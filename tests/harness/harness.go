package harness

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// Server is a server that a test runs, perhaps several times in a row on one data directory. Its methods fail the test when
// something goes wrong; those that start and end it are for one goroutine at a time, the others for any.
type Server struct {
	t       testing.TB
	options Options

	mu      sync.Mutex
	process *Process // the latest run; guarded by mu
}

// Start runs a server and waits until it is ready. When the test ends the server is killed; its log is shown if the test
// failed, and fails the test if it holds what no server may print, such as a data race.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	if options.DataDir == "" {
		options.DataDir = filepath.Join(t.TempDir(), "data")
	}
	if options.Binary == "" {
		binary, err := Binary(t.Context(), options.Variant)
		if err != nil {
			t.Fatal(err)
		}
		options.Binary = binary
	}
	s := &Server{t: t, options: options}
	s.run()
	return s
}

// run starts a process on the server's data directory. Clean-up functions run last to first, so that each kills its process
// before the directory is removed.
func (s *Server) run() {
	s.t.Helper()
	process, err := Launch(s.t.Context(), s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { process.finish(s.t) })
	if err := process.WaitReady(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = process
}

// Process is the latest run.
func (s *Server) Process() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// DataDir is the server's data directory.
func (s *Server) DataDir() string { return s.options.DataDir }

// Kubeconfig is the file that the server wrote for its administrator. Its address is that of the latest run.
func (s *Server) Kubeconfig() string { return s.Process().Kubeconfig() }

// ClientConfig is the administrator's, without limits on the client's side. Clients made of it find the server wherever its
// latest run listens, so that they can be kept over a restart.
func (s *Server) ClientConfig() *rest.Config {
	s.t.Helper()
	config, err := s.Process().ClientConfig()
	if err != nil {
		s.t.Fatal(err)
	}
	config.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Process().Address())
	}
	return config
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.Process().Kill(); err != nil {
		s.t.Fatal(err)
	}
}

// Stop ends the server in good order: SIGTERM, then exit code 0.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.Process().Stop(); err != nil {
		s.t.Fatal(err)
	}
}

// Restart starts the server again on its data directory, and kills it before that if it runs.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.run()
}
