// Package kubelet is a small kubelet for tests: a real HTTPS server that lets in only clients with a certificate of a given
// authority, and streams by the library that kubelets and container runtimes stream by. What runs in its containers are
// processes of this machine; there is one container in effect, whatever it is called.
package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/proxy"
	translator "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// Options say what a kubelet is like.
type Options struct {
	// Authority is the PEM of the authority whose client certificates are let in.
	Authority []byte
	// Address to listen on, without a port. Default: 127.0.0.1.
	Address string
	// Websockets says that the kubelet takes websockets as clients speak them, and that its Node declares it.
	Websockets bool
}

// Kubelet is a kubelet that serves until its test ends.
type Kubelet struct {
	// Authority is the PEM of who issued the serving certificate.
	Authority []byte
	// Log is that of the container.
	Log *Log

	options Options
	front   *httptest.Server
	runtime *httptest.Server // what streams, behind the kubelet

	mu      sync.Mutex
	clients []string // guarded by mu
}

// Start serves until the test ends.
func Start(t testing.TB, options Options) *Kubelet {
	t.Helper()
	if options.Address == "" {
		options.Address = "127.0.0.1"
	}
	k := &Kubelet{options: options, Log: newLog()}
	k.runtime = httptest.NewServer(k.streams())
	t.Cleanup(k.runtime.Close)
	listener, err := net.Listen("tcp", net.JoinHostPort(options.Address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := k.certificate()
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(options.Authority) {
		t.Fatal("the authority of clients is no certificate")
	}
	k.front = httptest.NewUnstartedServer(k.routes())
	if err := k.front.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	k.front.Listener = listener
	k.front.TLS = &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	k.front.EnableHTTP2 = true
	k.front.StartTLS()
	t.Cleanup(k.Stop)
	return k
}

func (k *Kubelet) certificate() (tls.Certificate, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey(k.options.Address, nil, nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	chain, err := cert.ParseCertsPEM(certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	if k.Authority, err = cert.EncodeCertificates(chain[len(chain)-1]); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certificate, key)
}

// Stop ends the kubelet and every connection to it. It can be called more than once.
func (k *Kubelet) Stop() {
	k.Log.close()
	k.front.CloseClientConnections()
	k.front.Close()
}

// Port is where it listens.
func (k *Kubelet) Port() int { return k.front.Listener.Addr().(*net.TCPAddr).Port }

// Clients are the subjects of the certificates by which it was asked, one for each request.
func (k *Kubelet) Clients() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.clients...)
}

// Register makes the Node of that name, which says where the kubelet is.
func (k *Kubelet) Register(ctx context.Context, client kubernetes.Interface, name string) error {
	node, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("register node %s: %w", name, err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: k.options.Address}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(k.Port())
	if k.options.Websockets {
		node.Status.DeclaredFeatures = []string{string(features.ExtendWebSocketsToKubelet)}
	}
	if _, err = client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("say where node %s is: %w", name, err)
	}
	return nil
}

// routes are the kubelet's, as far as the API server asks for them.
func (k *Kubelet) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.logs)
	for _, method := range []string{"GET", "POST"} {
		mux.HandleFunc(method+" /exec/{namespace}/{pod}/{container}", k.stream)
		mux.HandleFunc(method+" /attach/{namespace}/{pod}/{container}", k.stream)
		mux.HandleFunc(method+" /portForward/{namespace}/{pod}", k.stream)
	}
	mux.HandleFunc("/echo/", echo)
	mux.HandleFunc("/moved/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/echo/there", http.StatusFound) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		k.clients = append(k.clients, r.TLS.PeerCertificates[0].Subject.String())
		k.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

// echo tells of the request that has come.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%s %s %q authorization=%q", r.Method, r.URL.RequestURI(), body, r.Header.Get("Authorization"))
}

// stream hands a request to the runtime, as kubelets do.
func (k *Kubelet) stream(w http.ResponseWriter, r *http.Request) {
	runtime, err := url.Parse(k.runtime.URL + r.URL.RequestURI())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var handler http.Handler = proxy.NewUpgradeAwareHandler(runtime, nil, false, true, refusal{})
	switch {
	case k.options.Websockets && wsstream.IsWebSocketRequestWithStreamCloseProtocol(r):
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		handler = translator.NewStreamTranslatorHandler(runtime, nil, 0,
			translator.Options{Stdin: options.Stdin, Stdout: options.Stdout, Stderr: options.Stderr, Tty: options.TTY})
	case k.options.Websockets && wsstream.IsWebSocketRequestWithTunnelingProtocol(r):
		handler = translator.NewTunnelingHandler(handler)
	}
	handler.ServeHTTP(w, r)
}

// refusal is how a kubelet says that it could not reach its runtime.
type refusal struct{}

func (refusal) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// logs answers as kubelets do, for what this package's tests ask for.
func (k *Kubelet) logs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Has("previous") {
		http.Error(w, fmt.Sprintf("previous terminated container %q in pod %q not found", r.PathValue("container"), r.PathValue("pod")),
			http.StatusBadRequest)
		return
	}
	if strings.HasPrefix(r.PathValue("pod"), "moved") {
		http.Redirect(w, r, "/echo/there", http.StatusFound)
		return
	}
	options := logOptions{tail: -1, limit: -1, follow: query.Has("follow"), timestamps: query.Has("timestamps")}
	for name, into := range map[string]*int{"tailLines": &options.tail, "limitBytes": &options.limit, "sinceSeconds": &options.since} {
		if text := query.Get(name); text != "" {
			number, err := strconv.Atoi(text)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			*into = number
		}
	}
	w.Header().Set("Content-Type", "text/plain")
	k.Log.write(r.Context(), w, options)
}
