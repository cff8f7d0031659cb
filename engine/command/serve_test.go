package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"gatehouse/engine/config"
	"gatehouse/engine/logs"
	"gatehouse/engine/pki"
	"gatehouse/engine/version"
)

// fakeServer answers every request with the name of the client until its context ends.
type fakeServer struct {
	http    http.Server
	config  config.Config
	serving chan net.Addr
}

func newFakeServer(bundle *pki.Bundle, cfg config.Config) *fakeServer {
	s := &fakeServer{config: cfg, serving: make(chan net.Addr, 1)}
	s.http.TLSConfig = bundle.TLSConfig()
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].Subject.CommonName))
	})
	return s
}

func (s *fakeServer) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	s.serving <- listener.Addr()
	if err := s.http.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// running is a `gatehouse serve` that serves.
type running struct {
	t       *testing.T
	server  *fakeServer
	address string
	stdout  *bytes.Buffer // to be read once it serves
	stderr  *bytes.Buffer // to be read once it has ended
	stop    context.CancelFunc
	code    chan int
}

// serve runs `gatehouse serve` on a port of its own until stop or the end of the test.
func serve(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, stdout: new(bytes.Buffer), stderr: new(bytes.Buffer), stop: cancel, code: make(chan int, 1)}
	made := make(chan *fakeServer, 1)
	program := Program{
		Args:   append([]string{"serve", "--listen", "127.0.0.1:0"}, args...),
		Stdout: r.stdout, Stderr: r.stderr,
		NewServer: func(_ context.Context, cfg config.Config, bundle *pki.Bundle, logger *slog.Logger, _ *logs.Ring) (Server, error) {
			logger.Debug("making a server")
			server := newFakeServer(bundle, cfg)
			made <- server
			return server, nil
		},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.code <- program.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case r.server = <-made:
		r.address = (<-r.server.serving).String()
	case code := <-r.code:
		t.Fatalf("exit code %d instead of a server:\n%s", code, r.stderr)
	}
	return r
}

func (r *running) end() int {
	r.stop()
	return <-r.code
}

func TestServeListensAndSaysWhatToTypeNext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's data")
	r := serve(t, "--data-dir", dir)
	port := r.address[strings.LastIndex(r.address, ":")+1:]
	for _, want := range []string{
		"serving Kubernetes " + version.Kubernetes + "\n",
		"listening on https://" + r.address + " (this machine only; --listen :" + port + " lets others connect)\n",
		"data in " + dir + "\n",
		"\n  export KUBECONFIG='" + strings.ReplaceAll(dir, "'", `'\''`) + "/admin.kubeconfig'\n  kubectl get namespaces\n",
	} {
		if !strings.Contains(r.stdout.String(), want) {
			t.Errorf("printed\n%s\nwant\n%s", r.stdout, want)
		}
	}
	if r.server.config.DataDir != dir {
		t.Errorf("the server's data directory is %s, want %s", r.server.config.DataDir, dir)
	}

	client, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, client); got != "kubernetes-admin" {
		t.Errorf("the server knows the client as %q", got)
	}
	if code := r.end(); code != exitOK {
		t.Errorf("exit code is %d:\n%s", code, r.stderr)
	}
}

func get(t *testing.T, config *rest.Config) string {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return body.String()
}

func TestFilesMadeWhileServingAreTheOwnersAlone(t *testing.T) {
	r := serve(t, "--data-dir", t.TempDir())
	path := filepath.Join(r.server.config.DataDir, "made-by-a-library")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %o, want 600", info.Mode().Perm())
	}
}

func TestASecondServeSaysWhoHasTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, "--data-dir", dir)
	second := gatehouse(t, "serve", "--data-dir", dir, "--listen", first.address)
	second.want(t, exitFailed, "", "gatehouse: data directory "+dir+" is in use by gatehouse pid ")
	second.want(t, exitFailed, "", ", listening on "+first.address+"; stop it or choose another --data-dir\n")
	if code := first.end(); code != exitOK {
		t.Fatalf("exit code is %d", code)
	}
	serve(t, "--data-dir", dir)
}

func TestServeExplainsAPortInUse(t *testing.T) {
	first := serve(t, "--data-dir", t.TempDir())
	_, port, err := net.SplitHostPort(first.address)
	if err != nil {
		t.Fatal(err)
	}
	gatehouse(t, "serve", "--data-dir", t.TempDir(), "--listen", first.address).want(t, exitFailed, "",
		"gatehouse: cannot listen on "+first.address+": another program has that port, `ss -ltnp 'sport = :"+port+
			"'` shows which; stop it or choose another with --listen\n")
}

func TestListenErrorsSayWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"an address of another machine": {syscall.EADDRNOTAVAIL, "this machine has no such address"},
		"a port of root":                {syscall.EACCES, "ports below 1024 are for root"},
		"an unknown host":               {&net.DNSError{Name: "edge", Err: "no such host"}, "the host name edge has no address (no such host)"},
		"anything else":                 {syscall.ENOBUFS, "no buffer space available; choose another address with --listen"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := explainListen("edge:443", test.err).Error(); !strings.Contains(got, test.want) {
				t.Errorf("says %q, want %q", got, test.want)
			}
		})
	}
}

func TestAServerThatCannotBeMadeEndsServe(t *testing.T) {
	for name, test := range map[string]struct {
		stopped bool
		want    int
	}{
		"with its error": {false, exitFailed},
		"quietly if it was told to stop meanwhile": {true, exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var stdout, stderr bytes.Buffer
			code := Program{
				Args: []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}, Stdout: &stdout, Stderr: &stderr,
				NewServer: func(context.Context, config.Config, *pki.Bundle, *slog.Logger, *logs.Ring) (Server, error) {
					if test.stopped {
						cancel()
					}
					return nil, errors.New("the database is damaged; restore a backup")
				},
			}.Run(ctx)
			if code != test.want {
				t.Errorf("exit code is %d, want %d", code, test.want)
			}
			said := strings.Contains(stderr.String(), "gatehouse: the database is damaged; restore a backup\n")
			if said == test.stopped {
				t.Errorf("standard error is\n%s", &stderr)
			}
			if stdout.Len() > 0 {
				t.Errorf("said that it serves:\n%s", &stdout)
			}
		})
	}
}

func TestLogsAreStructuredAndHaveThoseOfLibrariesInThem(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		json bool
		want []string
		not  []string
	}{
		"JSON where there is no terminal": {
			json: true,
			want: []string{`"msg":"issued a serving certificate"`, `"msg":"an error from a library"`, `"part":"kubernetes"`},
			not:  []string{"chatter", "making a server", `"msg":"from a library"`},
		},
		"text if asked for": {
			args: []string{"--log-format", "text"},
			want: []string{`msg="issued a serving certificate"`, `msg="an error from a library"`},
			not:  []string{"chatter", `msg="from a library"`},
		},
		"upstream's debug level with ours": {
			args: []string{"--log-level", "debug"}, json: true,
			want: []string{"making a server", `"msg":"from a library"`, "chatter at 4", "somebody left"},
			not:  []string{"chatter at 5"},
		},
		"errors only": {
			args: []string{"--log-level", "error"}, json: true,
			want: []string{"an error from a library"},
			not:  []string{"issued", "something from a library", "somebody left"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, append(test.args, "--data-dir", t.TempDir())...)
			klog.Info("from a library")
			klog.ErrorS(errors.New("broken"), "an error from a library")
			klog.ErrorS(&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "somebody left")
			klog.V(4).Info("chatter at 4")
			klog.V(5).Info("chatter at 5")
			r.end()
			for _, want := range test.want {
				if !strings.Contains(r.stderr.String(), want) {
					t.Errorf("did not log %q:\n%s", want, r.stderr)
				}
			}
			for _, not := range test.not {
				if strings.Contains(r.stderr.String(), not) {
					t.Errorf("logged %q:\n%s", not, r.stderr)
				}
			}
			for line := range strings.Lines(r.stderr.String()) {
				if json.Valid([]byte(line)) != test.json {
					t.Errorf("a line is JSON or is not: %s", line)
				}
			}
		})
	}
}

func TestLocalURLIsReachableFromThisMachine(t *testing.T) {
	actual := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7443}
	for configured, want := range map[string]string{
		":6443":                 "https://127.0.0.1:7443",
		"0.0.0.0:6443":          "https://127.0.0.1:7443",
		"[::]:6443":             "https://[::1]:7443",
		"192.0.2.1:0":           "https://192.0.2.1:7443",
		"localhost:6443":        "https://localhost:7443",
		"edge.example.org:6443": "https://edge.example.org:7443",
		"[2001:db8::1]:6443":    "https://[2001:db8::1]:7443",
	} {
		if got := localURL(configured, actual); got != want {
			t.Errorf("listening on %s is reached at %s, want %s", configured, got, want)
		}
	}
}

func TestReachSaysWhoCanConnect(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:6443": " (this machine only; --listen :6443 lets others connect)",
		"localhost:6443": " (this machine only; --listen :6443 lets others connect)",
		"127.0.0.1:0":    " (this machine only; --listen :6443 lets others connect)",
		":6443":          " and every other address of this machine",
		"[::]:6443":      " and every other address of this machine",
		"192.0.2.1:6443": "",
	} {
		if got := reach(listen, "https://127.0.0.1:6443"); got != want {
			t.Errorf("listening on %s says %q, want %q", listen, got, want)
		}
	}
}

func TestServeWithoutAServerInTheProgramIsAnError(t *testing.T) {
	gatehouse(t, "serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0").want(t, exitFailed, "", "built without a server")
}
