package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"gatehouse/tests/harness"
	"gatehouse/tests/kubelet"
)

// patience bounds every wait for something that must come.
const patience = 2 * time.Minute

// world is a server with a node, on which pods are bound as soon as they are made.
type world struct {
	t       *testing.T
	server  *harness.Server
	config  *rest.Config
	client  kubernetes.Interface
	kubectl string
}

// built are the server and kubectl, built once for all tests.
var built = sync.OnceValues(func() (programs struct{ server, kubectl string }, err error) {
	if programs.server, err = harness.Binary(context.Background(), harness.Plain); err != nil {
		return programs, err
	}
	programs.kubectl, err = harness.Kubectl(context.Background())
	return programs, err
})

func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	programs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, server: harness.Start(t, harness.Options{Binary: programs.server, Flags: flags}), kubectl: programs.kubectl}
	w.config = w.server.ClientConfig()
	if w.client, err = kubernetes.NewForConfig(w.config); err != nil {
		t.Fatal(err)
	}
	return w
}

// authority is the PEM of the server's own.
func (w *world) authority() []byte {
	w.t.Helper()
	pem, err := os.ReadFile(filepath.Join(w.server.DataDir(), "pki", "ca.crt"))
	if err != nil {
		w.t.Fatal(err)
	}
	return pem
}

// node starts a kubelet and registers it.
func (w *world) node(name string, options kubelet.Options) *kubelet.Kubelet {
	w.t.Helper()
	options.Authority = w.authority()
	k := kubelet.Start(w.t, options)
	if err := k.Register(w.t.Context(), w.client, name); err != nil {
		w.t.Fatal(err)
	}
	return k
}

// pod makes a pod on a node, or one that waits for a node if that is empty.
func (w *world) pod(name, node string, containers ...string) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: node},
	}
	for _, container := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: container, Image: "none"})
	}
	var made *corev1.Pod
	w.eventually(func() (err error) { // the service account may not be there yet
		made, err = w.client.CoreV1().Pods(metav1.NamespaceDefault).Create(w.t.Context(), pod, metav1.CreateOptions{})
		return err
	})
	if node == "" {
		return made
	}
	made.Status.Phase = corev1.PodRunning
	for _, container := range containers {
		made.Status.ContainerStatuses = append(made.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		})
	}
	return w.status(made)
}

// status writes a pod's status.
func (w *world) status(pod *corev1.Pod) *corev1.Pod {
	w.t.Helper()
	written, err := w.client.CoreV1().Pods(pod.Namespace).UpdateStatus(w.t.Context(), pod, metav1.UpdateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return written
}

// eventually waits until try returns nil.
func (w *world) eventually(try func() error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := harness.Poll(ctx, try); err != nil {
		w.t.Fatal(err)
	}
}

// outcome is what a program did.
type outcome struct {
	stdout, stderr string
	code           int
}

// command is kubectl, to be run with the administrator's rights.
func (w *world) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, w.kubectl, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+w.server.Kubeconfig(), "KUBECTL_KUBERC=false")
	command.Env = append(command.Env, env...)
	command.WaitDelay = time.Second
	return command
}

// run runs kubectl to its end.
func (w *world) run(t *testing.T, env []string, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := w.command(ctx, env, args...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := command.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatalf("kubectl %v: %v", args, err)
	}
	return outcome{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// reachable is an address of this machine that may be proxied to, which those of the loopback interface may not.
func reachable(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		network, ok := address.(*net.IPNet)
		if ok && network.IP.IsGlobalUnicast() && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	t.Skip("this machine has no address but those of its loopback interface, to which nothing is proxied")
	return ""
}

// answer is what the server said to a request of the administrator's. Upgrading asks for SPDY.
func (w *world) answer(t *testing.T, method, path string, upgrading bool) (*http.Response, string) {
	t.Helper()
	tlsConfig, err := rest.TLSConfigFor(w.config)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true}, // and HTTP/1.1
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(t.Context(), method, w.config.Host+path, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	if upgrading {
		request.Header.Set("Connection", "Upgrade")
		request.Header.Set("Upgrade", "SPDY/3.1")
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// refused fails the test unless the answer is the Status that is wanted.
func refused(t *testing.T, response *http.Response, body string, code int, message string) {
	t.Helper()
	var status metav1.Status
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatalf("%s, no Status: %q", response.Status, body)
	}
	if response.StatusCode != code || int(status.Code) != code || !strings.Contains(status.Message, message) {
		t.Errorf("got %s: %q, want %d with %q", response.Status, status.Message, code, message)
	}
}
