package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func TestClientsWithTheKubeconfigAreTheAdmin(t *testing.T) {
	f := newFixture(t)
	bundle := f.ensure()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: bundle.TLSConfig(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := r.TLS.PeerCertificates[0]
		_, err := peer.Verify(x509.VerifyOptions{
			Roots: bundle.ClientCAs(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: f.clock.Now(),
		})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("User", peer.Subject.String())
		w.Header().Set("Proto", r.Proto)
	})}
	defer server.Close()
	go func() { _ = server.ServeTLS(listener, "", "") }() // Ends with the server.
	f.request.ServerURL = "https://" + listener.Addr().String()
	f.ensure()

	config, err := clientcmd.BuildConfigFromFlags("", bundle.AdminKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	client := clientFor(t, f, config.CAData, config.CertData, config.KeyData)
	defer client.CloseIdleConnections()
	response, err := client.Get(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, want := response.Header.Get("User"), "CN=kubernetes-admin,O=system:masters"; got != want {
		t.Errorf("user is %s, want %s", got, want)
	}
	if got := response.Header.Get("Proto"); got != "HTTP/2.0" {
		t.Errorf("protocol is %s, want HTTP/2.0", got)
	}
}

// clientFor is a client on the fixture's clock.
func clientFor(t *testing.T, f *fixture, ca, certificate, key []byte) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("the kubeconfig has no authority")
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, Time: f.clock.Now},
		ForceAttemptHTTP2: true,
	}}
}

func TestTLSOffersHTTP1ForUpgradesAndNothingOlderThanTLS12(t *testing.T) {
	bundle := newFixture(t).ensure()
	for name, test := range map[string]struct {
		client *tls.Config
		proto  string
		fails  bool
	}{
		"HTTP/2 is preferred":                {&tls.Config{NextProtos: []string{"http/1.1", "h2"}}, "h2", false},
		"HTTP/1.1 is spoken for SPDY":        {&tls.Config{NextProtos: []string{"http/1.1"}}, "http/1.1", false},
		"TLS 1.2 is the oldest":              {&tls.Config{MaxVersion: tls.VersionTLS12}, "", false},
		"TLS 1.1 is refused":                 {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "", true},
		"a client needs no certificate here": {&tls.Config{}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			serverSide, clientSide := net.Pipe()
			defer serverSide.Close()
			defer clientSide.Close()
			go func() { _ = tls.Server(serverSide, bundle.TLSConfig()).Handshake() }() // Ends with the pipe.
			config := test.client.Clone()
			config.RootCAs, config.ServerName, config.Time = bundle.ClientCAs(), "localhost", bundle.now
			client := tls.Client(clientSide, config)
			err := client.Handshake()
			if (err != nil) != test.fails {
				t.Fatalf("handshake: %v", err)
			}
			if got := client.ConnectionState().NegotiatedProtocol; got != test.proto {
				t.Errorf("protocol is %q, want %q", got, test.proto)
			}
		})
	}
}

func TestWhatTheOwnerAddedToTheKubeconfigStays(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	kubeconfig, err := clientcmd.LoadFromFile(f.path("admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig.Contexts[ContextName].Namespace = "kube-system"
	kubeconfig.Contexts["mine"] = kubeconfig.Contexts[ContextName].DeepCopy()
	kubeconfig.CurrentContext = "mine"
	content, err := clientcmd.Write(*kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	f.write(content, "admin.kubeconfig")

	f.request.ServerURL = "https://127.0.0.1:7443"
	f.clock.Step(300 * day)
	bundle := f.ensure()
	got, err := ReadAdminKubeconfig(f.request.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	if got.CurrentContext != "mine" || got.Contexts["mine"] == nil || got.Contexts[ContextName].Namespace != "kube-system" {
		t.Errorf("contexts are %v, current is %s", got.Contexts, got.CurrentContext)
	}
	if server := got.Clusters[ClusterName].Server; server != f.request.ServerURL {
		t.Errorf("server is %s, want %s", server, f.request.ServerURL)
	}
	pair, err := tls.X509KeyPair(got.AuthInfos[AdminName].ClientCertificateData, got.AuthInfos[AdminName].ClientKeyData)
	if err != nil {
		t.Fatal(err)
	}
	if reason := dueReason(pair.Leaf, f.clock.Now()); reason != "" || !bundle.authority.issued(pair.Leaf) {
		t.Errorf("the certificate was not renewed: %s", reason)
	}
}

func TestTheKubeconfigFollowsANewAuthority(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	if err := os.Rename(f.path("pki"), f.path("pki.old")); err != nil {
		t.Fatal(err)
	}
	bundle := f.ensure()
	got, err := ReadAdminKubeconfig(f.request.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Clusters[ClusterName].CertificateAuthorityData, bundle.CAPEM()) {
		t.Error("the kubeconfig trusts another authority")
	}
	pair, err := tls.X509KeyPair(got.AuthInfos[AdminName].ClientCertificateData, got.AuthInfos[AdminName].ClientKeyData)
	if err != nil {
		t.Fatal(err)
	}
	if !bundle.authority.issued(pair.Leaf) {
		t.Error("the client certificate is of the old authority")
	}
}

func TestAMissingKubeconfigIsExplained(t *testing.T) {
	dir := t.TempDir()
	_, err := ReadAdminKubeconfig(dir)
	want := "there is no " + filepath.Join(dir, "admin.kubeconfig") + "; start the server with `gatehouse serve`"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %s", err, want)
	}
}
