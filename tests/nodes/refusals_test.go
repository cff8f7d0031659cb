package nodes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/cert"

	"gatehouse/tests/kubelet"
)

// someAuthority is the PEM of an authority that nobody trusts.
func someAuthority(t *testing.T) []byte {
	t.Helper()
	pem, _, err := cert.GenerateSelfSignedCertKey("nobody", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return pem
}

// TestWhatCannotBeReachedIsSaid has the answers that kube-apiserver gives.
func TestWhatCannotBeReachedIsSaid(t *testing.T) {
	w := newWorld(t)
	w.node("edge", kubelet.Options{})
	gone := w.node("gone", kubelet.Options{})
	gone.Stop()
	if _, err := w.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "nowhere"}},
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	stranger := kubelet.Start(t, kubelet.Options{Authority: someAuthority(t)})
	if err := stranger.Register(t.Context(), w.client, "stranger"); err != nil {
		t.Fatal(err)
	}
	w.pod("one", "edge", "app")
	w.pod("two", "edge", "app", "sidecar")
	w.pod("waiting", "", "app")
	w.pod("moved", "edge", "app")
	for _, node := range []string{"gone", "nowhere", "stranger", "never"} {
		w.pod("on-"+node, node, "app")
	}
	const pods = "/api/v1/namespaces/default/pods/"
	unreachable := fmt.Sprintf("dial tcp 127.0.0.1:%d: connect: connection refused", gone.Port())
	for _, test := range []struct {
		name, path string
		code       int
		message    string
	}{
		{"logs of no pod", "nothing/log", 404, `pods "nothing" not found`},
		{"logs of no container", "one/log?container=x", 400, "container x is not valid for pod one"},
		{"logs of one of two", "two/log", 400, "a container name must be specified for pod two, choose one of: [app sidecar]"},
		{"less than no lines", "one/log?tailLines=-1", 422, `PodLogOptions "one" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0`},
		{"logs on a node that is gone", "on-gone/log", 500, unreachable},
		{"logs on a node without an address", "on-nowhere/log", 500, "no preferred addresses found; known addresses: []"},
		{"logs on a node that does not know us", "on-stranger/log", 500, "tls: "},
		{"logs on no node", "on-never/log", 404, `"never" not found`},
		{"logs that are elsewhere", "moved/log", 500, "redirects forbidden"},
		{"exec in no pod", "nothing/exec?command=true&stdout=true", 404, `pods "nothing" not found`},
		{"exec in no container", "one/exec?command=true&stdout=true&container=x", 400, "container x is not valid for pod one"},
		{"exec before there is a node", "waiting/exec?command=true&stdout=true", 400, "pod waiting does not have a host assigned"},
		{"exec on a node that is gone", "on-gone/exec?command=true&stdout=true", 500, "error dialing backend: " + unreachable},
		{"exec on a node that does not know us", "on-stranger/exec?command=true&stdout=true", 500, "tls: "},
		{"attach before there is a node", "waiting/attach?stdout=true", 400, "pod waiting does not have a host assigned"},
		{"port-forward before there is a node", "waiting/portforward", 400, "pod waiting does not have a host assigned"},
		{"a proxy to a pod without an address", "waiting/proxy", 400, "address not allowed"},
		{"a proxy to a port that is none", "a:b:c:d/proxy", 400, `invalid pod request "a:b:c:d"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			method, upgrading := http.MethodPost, true
			if strings.Contains(test.path, "/log") {
				method, upgrading = http.MethodGet, false
			}
			response, body := w.answer(t, method, pods+test.path, upgrading)
			refused(t, response, body, test.code, test.message)
		})
	}
	t.Run("logs before there is a node", func(t *testing.T) {
		if response, body := w.answer(t, http.MethodGet, pods+"waiting/log", false); response.StatusCode != http.StatusNoContent || body != "" {
			t.Errorf("got %s %q, want nothing", response.Status, body)
		}
	})
	t.Run("exec without an upgrade", func(t *testing.T) {
		response, body := w.answer(t, http.MethodPost, pods+"one/exec?command=true&stdout=true", false)
		refused(t, response, body, 400, "Upgrade request required")
	})
	t.Run("exec without streams", func(t *testing.T) { // the kubelet's own answer
		response, body := w.answer(t, http.MethodPost, pods+"one/exec?command=true", true)
		if response.StatusCode != 400 || body != "you must specify at least 1 of stdin, stdout, stderr\n" {
			t.Errorf("got %s %q", response.Status, body)
		}
	})
	t.Run("a proxy to a node on the loopback interface", func(t *testing.T) {
		response, body := w.answer(t, http.MethodGet, "/api/v1/nodes/edge/proxy/echo/", false)
		refused(t, response, body, 400, "address not allowed")
	})
}

// TestGettingIsNotEnoughForExec holds for websockets, which begin with a GET, as well.
func TestGettingIsNotEnoughForExec(t *testing.T) {
	w := newWorld(t)
	w.node("edge", kubelet.Options{})
	w.pod("web", "edge", "app")
	as := rest.CopyConfig(w.config)
	as.Impersonate.UserName = "jane"
	allow := func(verbs ...string) {
		t.Helper()
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: strings.Join(verbs, "-")}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods/exec", "pods/attach", "pods/portforward"}, Verbs: verbs}}}
		if _, err := w.client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role.Name},
			Subjects: []rbacv1.Subject{{Kind: "User", Name: "jane"}}}
		if _, err := w.client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	exec := func() error {
		client, err := kubernetes.NewForConfig(as)
		if err != nil {
			t.Fatal(err)
		}
		location := client.CoreV1().RESTClient().Get().Namespace("default").Resource("pods").Name("web").SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Command: []string{"true"}, Stdout: true}, scheme.ParameterCodec).URL()
		executor, err := remotecommand.NewWebSocketExecutor(as, "GET", location.String())
		if err != nil {
			t.Fatal(err)
		}
		return executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
	}
	allow("get")
	if err := exec(); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("with get alone: %v, want that it is forbidden", err)
	}
	allow("create")
	if err := exec(); err != nil {
		t.Errorf("with get and create: %v", err)
	}
}

// deaf is a kubelet that takes connections, and says nothing or hangs up.
type deaf struct {
	listener net.Listener
	taken    chan net.Conn
}

func listenDeaf(t *testing.T) *deaf {
	t.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	d := &deaf{listener: listener, taken: make(chan net.Conn, 16)}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			d.taken <- connection
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return d
}

// TestKubeletsThatSayNothingHoldNothingOnceTheirClientsAreGone has requests given up, after which the server must have hung up on
// the kubelet.
func TestKubeletsThatSayNothingHoldNothingOnceTheirClientsAreGone(t *testing.T) {
	w := newWorld(t, "--shutdown-drain-timeout=1h")
	d := listenDeaf(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "deaf"}}
	node, err := w.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(d.listener.Addr().(*net.TCPAddr).Port)
	if _, err := w.client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.pod("web", "deaf", "app")
	exec := func(ctx context.Context, websocket bool) {
		request := w.client.CoreV1().RESTClient().Get().Namespace("default").Resource("pods").Name("web").SubResource("exec").
			Param("command", "true").Param("stdout", "true")
		executor, err := remotecommand.NewSPDYExecutor(w.config, "POST", request.URL())
		if websocket {
			executor, err = remotecommand.NewWebSocketExecutor(w.config, "GET", request.URL().String())
		}
		if err != nil {
			t.Error(err)
			return
		}
		_ = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: io.Discard}) // given up
	}
	for name, ask := range map[string]func(ctx context.Context){
		"exec over SPDY":        func(ctx context.Context) { exec(ctx, false) },
		"exec over a websocket": func(ctx context.Context) { exec(ctx, true) },
		"logs": func(ctx context.Context) {
			_, _ = w.client.CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{}).DoRaw(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			// client-go's SPDY executor waits for an answer whatever its context says: kubectl's process is what can be ended.
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			if name == "exec over SPDY" {
				command := w.command(ctx, []string{"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false"}, "exec", "web", "--", "true")
				if err := command.Start(); err != nil {
					t.Fatal(err)
				}
				go func() { defer close(done); _ = command.Wait() }()
			} else {
				go func() { defer close(done); ask(ctx) }()
			}
			connection := <-d.taken
			defer connection.Close()
			// The request has come, and is not answered.
			if _, err := connection.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			cancel()
			<-done
			if err := connection.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, connection); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the server still waits for the kubelet's answer")
			}
		})
	}
	t.Run("a kubelet that hangs up", func(t *testing.T) {
		go func() {
			connection := <-d.taken
			_, _ = connection.Read(make([]byte, 1))
			connection.Close()
		}()
		response, body := w.answer(t, http.MethodGet, "/api/v1/namespaces/default/pods/web/log", false)
		refused(t, response, body, http.StatusInternalServerError, "EOF")
	})
	t.Run("a server that stops meanwhile", func(t *testing.T) {
		go exec(context.Background(), true)
		connection := <-d.taken
		defer connection.Close()
		if _, err := connection.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		w.server.Stop()
	})
}
