package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
)

// listening is a TLS server with a bundle's certificates, on the fixture's clock. It answers with the name of its client.
type listening struct {
	*fixture
	bundle *Bundle
	url    string
}

func listen(t *testing.T, f *fixture) *listening {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.request.ServerURL = "https://" + listener.Addr().String()
	l := &listening{f, f.ensure(), f.request.ServerURL}
	server := &http.Server{TLSConfig: l.bundle.TLSConfig(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := r.TLS.PeerCertificates[0]
		_, err := peer.Verify(x509.VerifyOptions{
			Roots: l.bundle.ClientCAs(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: f.clock.Now(),
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		w.Header().Set("User", peer.Subject.String())
	})}
	t.Cleanup(func() { server.Close() })
	go func() { _ = server.ServeTLS(listener, "", "") }() // Ends with the server.
	return l
}

// admin is a client with the kubeconfig as it is now.
func (l *listening) admin(t *testing.T) *http.Client {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", l.bundle.AdminKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	client := clientFor(t, l.fixture, config.CAData, config.CertData, config.KeyData)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// ask makes a request, which must be answered with the status, and returns the certificate that the server showed.
func (l *listening) ask(t *testing.T, client *http.Client, status int, user string) *x509.Certificate {
	t.Helper()
	response, err := client.Get(l.url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != status || response.Header.Get("User") != user {
		t.Errorf("%s for %q, want %d for %q", response.Status, response.Header.Get("User"), status, user)
	}
	return response.TLS.PeerCertificates[0]
}

func TestCertificatesAreRenewedUnderARunningServer(t *testing.T) {
	const admin = "CN=kubernetes-admin,O=system:masters"
	f := newFixture(t)
	made := make(chan struct{})
	f.request.Clock = &tickerClock{f.clock, made}
	l := listen(t, f)
	refreshed := make(chan struct{}, 16)
	// Called by Maintain's goroutine alone from here on; the channel orders it before what this test reads.
	l.bundle.request.Host = func() (Host, error) { refreshed <- struct{}{}; return f.host, nil }
	ctx, cancel := context.WithCancel(t.Context())
	maintained := make(chan struct{})
	go func() { defer close(maintained); l.bundle.Maintain(ctx) }()
	<-made

	before := l.admin(t)
	first := l.ask(t, before, http.StatusOK, admin)
	kubelets := f.read("pki", "kubelet-client.pem")
	f.clock.Step(250 * day) // two thirds of the certificates' time are over
	<-refreshed
	cancel()
	<-maintained

	if kept := l.ask(t, before, http.StatusOK, admin); !kept.Equal(first) {
		t.Error("a connection that was open was cut")
	}
	after := l.admin(t)
	second := l.ask(t, after, http.StatusOK, admin)
	if second.Equal(first) {
		t.Error("a new connection is shown the old certificate")
	}
	if want := f.clock.Now().Add(leafLifetime); !second.NotAfter.Equal(want) {
		t.Errorf("the new certificate ends %s, want %s", second.NotAfter, want)
	}
	if string(f.read("pki", "kubelet-client.pem")) == string(kubelets) {
		t.Error("the client certificate for kubelets was not renewed")
	}
	if end := l.bundle.KubeletClient().Leaf.NotAfter; !end.Equal(second.NotAfter) {
		t.Errorf("kubelets are shown the client certificate that ends %s, not the new one", end)
	}

	f.clock.Step(200 * day) // beyond the end of the first certificates
	before.CloseIdleConnections()
	l.ask(t, before, http.StatusUnauthorized, "")
	l.ask(t, after, http.StatusOK, admin)
}

func TestKubeletsKnowTheServerByItsClientCertificate(t *testing.T) {
	l := listen(t, newFixture(t))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: l.bundle.ClientCAs(), Certificates: []tls.Certificate{*l.bundle.KubeletClient()}, Time: l.clock.Now,
	}}}
	defer client.CloseIdleConnections()
	l.ask(t, client, http.StatusOK, "CN=kube-apiserver-kubelet-client,O=system:masters")
}

// tickerClock tells when somebody has made a ticker.
type tickerClock struct {
	*testclock.FakeClock
	made chan struct{}
}

func (c *tickerClock) NewTicker(d time.Duration) clock.Ticker {
	defer close(c.made)
	return c.FakeClock.NewTicker(d)
}
