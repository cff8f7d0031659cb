package nodes

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"gatehouse/tests/kubelet"
)

// ways are how clients and the server, and the server and kubelets, can speak.
func ways() map[string]struct {
	env     []string // of kubectl
	kubelet kubelet.Options
} {
	spdy := []string{"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false", "KUBECTL_PORT_FORWARD_WEBSOCKETS=false"}
	return map[string]struct {
		env     []string
		kubelet kubelet.Options
	}{
		"websocket, translated for the kubelet": {nil, kubelet.Options{}},
		"websocket all the way":                 {nil, kubelet.Options{Websockets: true}},
		"SPDY":                                  {spdy, kubelet.Options{}},
		"SPDY to a kubelet with websockets":     {spdy, kubelet.Options{Websockets: true}},
	}
}

// kubectlsOwn is what kubectl tells besides what it was told.
var kubectlsOwn = regexp.MustCompile(`(?m)^(If you don't see|All commands and output).*\n`)

func TestKubectlReachesContainers(t *testing.T) {
	w := newWorld(t)
	number := 0
	for name, way := range ways() {
		node := fmt.Sprint("node-", number)
		pod := fmt.Sprint("web-", number)
		number++
		k := w.node(node, way.kubelet)
		w.pod(pod, node, "app", "sidecar")
		t.Run(name, func(t *testing.T) {
			kubectl := func(stdin string, args ...string) outcome { return w.run(t, way.env, stdin, args...) }
			big := strings.Repeat("0123456789abcde\n", 1<<17)
			for _, test := range []struct {
				name  string
				stdin string
				args  []string
				want  outcome
			}{
				{"output, errors and exit code", "",
					[]string{"exec", pod, "-c", "app", "--", "sh", "-c", "echo out; echo err >&2; exit 3"},
					outcome{"out\n", "err\ncommand terminated with exit code 3\n", 3}},
				{"success", "", []string{"exec", pod, "-c", "app", "--", "true"}, outcome{}},
				{"input", "hello\n", []string{"exec", "-i", pod, "-c", "app", "--", "cat"}, outcome{stdout: "hello\n"}},
				{"two megabytes there and back", big, []string{"exec", "-i", pod, "-c", "app", "--", "cat"}, outcome{stdout: big}},
				{"a program that is not there", "", []string{"exec", pod, "-c", "app", "--", "/no/such/program"},
					outcome{"", "error: Internal error occurred: error executing command in container: fork/exec /no/such/program: " +
						"no such file or directory\n", 1}},
				{"attached", "ping\n", []string{"attach", "-i", pod, "-c", "sidecar"}, outcome{stdout: "attached to sidecar\nping\n"}},
			} {
				t.Run(test.name, func(t *testing.T) {
					got := kubectl(test.stdin, test.args...)
					got.stderr = kubectlsOwn.ReplaceAllString(got.stderr, "")
					// A translator on the way says it once more.
					got.stderr = strings.Replace(got.stderr, strings.Repeat("Internal error occurred: ", 2), "Internal error occurred: ", 1)
					if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
						t.Errorf("-want +got:\n%s", diff)
					}
				})
			}
			t.Run("copies", func(t *testing.T) { copyThereAndBack(t, kubectl, pod) })
			t.Run("forwarded ports", func(t *testing.T) { w.forward(t, way.env, pod) })
			for _, client := range k.Clients() {
				if client != "CN=kube-apiserver-kubelet-client,O=system:masters" {
					t.Errorf("the kubelet was asked by %s", client)
				}
			}
		})
	}
}

func copyThereAndBack(t *testing.T, kubectl func(string, ...string) outcome, pod string) {
	dir := t.TempDir()
	content := strings.Repeat("what is copied\n", 10_000)
	if err := os.WriteFile(filepath.Join(dir, "original"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(dir, "inside")
	if got := kubectl("", "cp", "-c", "app", filepath.Join(dir, "original"), pod+":"+inside); got.code != 0 {
		t.Fatalf("copy there: %+v", got)
	}
	if got := kubectl("", "cp", "-c", "app", pod+":"+inside, filepath.Join(dir, "back")); got.code != 0 {
		t.Fatalf("copy back: %+v", got)
	}
	if back, err := os.ReadFile(filepath.Join(dir, "back")); err != nil || string(back) != content {
		t.Errorf("%d bytes came back, %v, want %d", len(back), err, len(content))
	}
}

// forward asks a web server in a pod by a forwarded port, several times over one connection to the kubelet.
func (w *world) forward(t *testing.T, env []string, pod string) {
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	defer inside.Close()
	address, err := url.Parse(inside.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	command := w.command(ctx, env, "port-forward", pod, "--address=127.0.0.1", ":"+address.Port())
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = command.Wait() // killed
		if t.Failed() {
			t.Logf("port-forward printed:\n%s", &stderr)
		}
	}()
	line := make([]byte, 1<<10)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("nothing is forwarded: %v", err)
	}
	match := regexp.MustCompile(`Forwarding from 127.0.0.1:(\d+) ->`).FindSubmatch(line[:n])
	if match == nil {
		t.Fatalf("port-forward says %q", line[:n])
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // "Handling connection for ..."
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, size := range []int{0, 1, 1 << 20} {
		sent := strings.Repeat("x", size)
		response, err := client.Post("http://127.0.0.1:"+string(match[1]), "text/plain", strings.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(got) != sent {
			t.Errorf("%d bytes came back, %v, want %d", len(got), err, size)
		}
	}
}

// sizes is a terminal that is resized.
type sizes []remotecommand.TerminalSize

func (s *sizes) Next() *remotecommand.TerminalSize {
	if len(*s) == 0 {
		return nil
	}
	next := (*s)[0]
	*s = (*s)[1:]
	return &next
}

func TestTerminalsAreResized(t *testing.T) {
	w := newWorld(t)
	w.node("plain", kubelet.Options{})
	w.node("modern", kubelet.Options{Websockets: true})
	for _, node := range []string{"plain", "modern"} {
		w.pod("on-"+node, node, "app")
		location := w.client.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("on-"+node).SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Command: []string{"sizes"}, Stdin: true, Stdout: true, TTY: true}, scheme.ParameterCodec).URL()
		websocket, err := remotecommand.NewWebSocketExecutor(w.config, "GET", location.String())
		if err != nil {
			t.Fatal(err)
		}
		spdy, err := remotecommand.NewSPDYExecutor(w.config, "POST", location)
		if err != nil {
			t.Fatal(err)
		}
		for name, executor := range map[string]remotecommand.Executor{"websocket": websocket, "SPDY": spdy} {
			t.Run(name+" to a kubelet that is "+node, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				var out bytes.Buffer
				err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{
					Stdin: strings.NewReader(""), Stdout: &out, Tty: true,
					TerminalSizeQueue: &sizes{{Width: 80, Height: 24}, {Width: 132, Height: 43}, {Width: 1, Height: 1}},
				})
				if diff := cmp.Diff("80x24\n132x43\n1x1\n", out.String()); diff != "" || err != nil {
					t.Errorf("error %v, sizes (-want +got):\n%s", err, diff)
				}
			})
		}
	}
}
