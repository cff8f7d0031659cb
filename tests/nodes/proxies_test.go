package nodes

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/websocket"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"gatehouse/tests/kubelet"
)

// site is a web server in a pod, at an address that is proxied to.
type site struct {
	*httptest.Server
	port int
	// more has an endless answer go on by a line, by the protocol that it is asked for in.
	more map[string]chan struct{}
}

func newSite(t *testing.T, address string, start func(*httptest.Server)) *site {
	t.Helper()
	s := &site{more: map[string]chan struct{}{"HTTP/1.1": make(chan struct{}, 1), "HTTP/2": make(chan struct{}, 1)}}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s %s %q authorization=%q", r.Method, r.URL.RequestURI(), body, r.Header.Get("Authorization"))
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no more", http.StatusServiceUnavailable) })
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<html><body><a href="/there">there</a></body></html>`)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for {
			_, _ = io.WriteString(w, "more\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-s.more[r.URL.Query().Get("over")]:
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.Handle("/socket", websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }))
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux}}
	start(s.Server)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	s.port = listener.Addr().(*net.TCPAddr).Port
	return s
}

// serveSites makes a pod with a plain web server and one in TLS, and a service in front of the former.
func (w *world) serveSites(address string) (plain, secure *site) {
	t := w.t
	plain, secure = newSite(t, address, (*httptest.Server).Start), newSite(t, address, (*httptest.Server).StartTLS)
	pod := w.pod("web", "edge", "app")
	pod.Status.PodIP, pod.Status.PodIPs = address, []corev1.PodIP{{IP: address}}
	pod = w.status(pod)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
	}}
	w.eventually(func() (err error) { // cluster IPs may not be had yet
		_, err = w.client.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{})
		return err
	})
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(plain.port))}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{address},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "web", UID: pod.UID}}},
	}
	if _, err := w.client.DiscoveryV1().EndpointSlices("default").Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return plain, secure
}

func TestRequestsArePassedOnToNodesPodsAndServices(t *testing.T) {
	address := reachable(t)
	w := newWorld(t)
	w.node("edge", kubelet.Options{Address: address})
	plain, secure := w.serveSites(address)
	const pods, services = "/api/v1/namespaces/default/pods/", "/api/v1/namespaces/default/services/"
	byPort := "web:" + strconv.Itoa(plain.port)
	for _, test := range []struct {
		name, method, path string
		code               int
		body               string
		location           string
	}{
		{"a node", "GET", "/api/v1/nodes/edge/proxy/echo/x?y=z", 200, `GET /echo/x?y=z "" authorization=""`, ""},
		{"a node, writing", "PUT", "/api/v1/nodes/edge/proxy/echo/x", 200, `PUT /echo/x "" authorization=""`, ""},
		{"where a node redirects to", "GET", "/api/v1/nodes/edge/proxy/moved/", 302, "", "/api/v1/nodes/edge/proxy/echo/there"},
		{"another port of a node", "GET", "/api/v1/nodes/http:edge:" + strconv.Itoa(plain.port) + "/proxy/x", 200, `GET /x "" authorization=""`, ""},
		{"a pod by port", "GET", pods + byPort + "/proxy/a/b/?c=d", 200, `GET /a/b/?c=d "" authorization=""`, ""},
		{"a pod by scheme", "DELETE", pods + "http:" + byPort + "/proxy/a", 200, `DELETE /a "" authorization=""`, ""},
		{"a pod in TLS", "GET", pods + "https:web:" + strconv.Itoa(secure.port) + "/proxy/a", 200, `GET /a "" authorization=""`, ""},
		{"a pod's root without a slash", "GET", pods + byPort + "/proxy", 301, "", pods + byPort + "/proxy/"},
		{"where a pod redirects to", "GET", pods + byPort + "/proxy/moved", 302, "", pods + byPort + "/proxy/there"},
		{"a page's links", "GET", pods + byPort + "/proxy/page", 200, `<a href="` + pods + byPort + `/proxy/there">`, ""},
		{"a pod's own refusal", "GET", pods + byPort + "/proxy/broken", 503, "no more\n", ""},
		{"a service whose ports have names", "GET", services + "web/proxy/x", 503, `no endpoints available for service \"web\"`, ""},
		{"a service by the port's name", "POST", services + "web:http/proxy/x", 200, `POST /x "" authorization=""`, ""},
		{"a service by scheme and port", "GET", services + "http:web:80/proxy/x", 200, `GET /x "" authorization=""`, ""},
		{"a service's port that is none", "GET", services + "web:81/proxy/x", 503, `no service port 81 found for service \"web\"`, ""},
		{"a service that is none", "GET", services + "nothing/proxy/x", 503, `no endpoints available for service \"nothing\"`, ""},
		{"a node that is none", "GET", "/api/v1/nodes/nothing/proxy/x", 404, `nodes \"nothing\" not found`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, body := w.answer(t, test.method, test.path, false)
			if response.StatusCode != test.code || !strings.Contains(body, test.body) {
				t.Errorf("got %s %q, want %d with %q", response.Status, body, test.code, test.body)
			}
			if got := response.Header.Get("Location"); got != test.location && got != w.config.Host+test.location {
				t.Errorf("leads to %q, want %q", got, test.location)
			}
		})
	}
	t.Run("not the client's token", func(t *testing.T) { w.keepsTokens(t, services+"web:http/proxy/x") })
	t.Run("websockets", func(t *testing.T) { w.echoes(t, services+"web:http/proxy/socket") })
	t.Run("through kubectl proxy", func(t *testing.T) { w.throughKubectl(t, services+"web:http/proxy/x") })
	t.Run("answers as they come, until the server drains", func(t *testing.T) { w.streams(t, plain, services+"web:http/proxy/endless") })
}

// keepsTokens asks with a token, which is nobody's business behind the server.
func (w *world) keepsTokens(t *testing.T, path string) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}
	if _, err := w.client.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "robot"},
		RoleRef:  rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "robot", Namespace: "default"}}}
	if _, err := w.client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	robot := rest.AnonymousClientConfig(w.config)
	robot.BearerToken = w.run(t, nil, "", "create", "token", "robot").stdout
	client, err := rest.HTTPClientFor(robot)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(w.config.Host + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != `GET /x "" authorization=""` {
		t.Errorf("got %s %q, %v", response.Status, body, err)
	}
}

// socket opens a websocket.
func (w *world) socket(t *testing.T, path string) *websocket.Conn {
	t.Helper()
	config, err := websocket.NewConfig("wss"+strings.TrimPrefix(w.config.Host, "https")+path, w.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	if config.TlsConfig, err = rest.TLSConfigFor(w.config); err != nil {
		t.Fatal(err)
	}
	socket, err := config.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return socket
}

func (w *world) echoes(t *testing.T, path string) {
	socket := w.socket(t, path)
	defer socket.Close()
	for _, sent := range []string{"hello", strings.Repeat("x", 1<<20)} {
		if err := websocket.Message.Send(socket, sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(socket, got); err != nil || string(got) != sent {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
	}
}

func (w *world) throughKubectl(t *testing.T, path string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	command := w.command(ctx, nil, "proxy", "--port=0")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = command.Wait() }() // killed
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != `GET /x "" authorization=""` {
		t.Errorf("got %s %q, %v", response.Status, body, err)
	}
}

// streams reads an endless answer, and has the server drain with that and a websocket open. It is the last of the server's tests.
func (w *world) streams(t *testing.T, s *site, path string) {
	tlsConfig, err := rest.TLSConfigFor(w.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig.Clone(), ForceAttemptHTTP2: protocol == "HTTP/2"}}
		if protocol == "HTTP/1.1" {
			client.Transport.(*http.Transport).TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}
		response, err := client.Get(w.config.Host + path + "?over=" + protocol)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		for range 3 {
			if line, err := lines.ReadString('\n'); err != nil || line != "more\n" {
				t.Fatalf("over %s: got %q, %v", protocol, line, err)
			}
			s.more[protocol] <- struct{}{}
		}
		defer func() {
			if _, err := io.Copy(io.Discard, lines); err == nil {
				t.Errorf("over %s the answer that was cut off looks whole", protocol)
			}
		}()
	}
	socket := w.socket(t, strings.Replace(path, "endless", "socket", 1))
	defer socket.Close()
	w.server.Stop()
	if _, err := socket.Read(make([]byte, 1)); err == nil {
		t.Error("the websocket outlives the server")
	}
}
