package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/util/cert"
)

// issued is a self-signed certificate for this machine, and a pool that trusts it.
func issued(t *testing.T) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(certificate) {
		t.Fatal("the certificate is none")
	}
	return &pair, pool
}

// kubelet answers with the name in the client's certificate.
func kubelet(t *testing.T, certificate *tls.Certificate) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].SerialNumber.String())
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}, ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, transport http.RoundTripper, url string) (string, error) {
	t.Helper()
	response, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), nil
}

func TestKubeletsAreTrustedByTheAuthoritiesOfTheMoment(t *testing.T) {
	serving, trusting := issued(t)
	client, strange := issued(t)
	server := kubelet(t, serving)
	var authorities atomic.Pointer[x509.CertPool]
	transports := New(Options{
		ClientCertificate:  func() *tls.Certificate { return client },
		ServingCertificate: func() *tls.Certificate { return client },
		Authorities:        authorities.Load,
	})
	defer transports.Close()

	for _, step := range []struct {
		name    string
		pool    *x509.CertPool
		trusted bool
	}{
		{"who is not trusted", strange, false},
		{"who is", trusting, true},
		{"who is not any more", strange, false},
	} {
		authorities.Store(step.pool)
		got, err := get(t, transports.Kubelets, server.URL)
		if (err == nil) != step.trusted || (step.trusted && got != client.Leaf.SerialNumber.String()) {
			t.Errorf("%s: got %q, %v", step.name, got, err)
		}
		if _, err := get(t, transports.UnverifiedKubelets, server.URL); err != nil {
			t.Errorf("%s, where nobody cares: %v", step.name, err)
		}
	}
}

// TestAServerThatIsItselfWhereAKubeletShouldBeShowsNoCertificate asks a server that would take any certificate.
func TestAServerThatIsItselfWhereAKubeletShouldBeShowsNoCertificate(t *testing.T) {
	serving, trusting := issued(t)
	client, _ := issued(t)
	ourselves := kubelet(t, serving)
	transports := New(Options{
		ClientCertificate:  func() *tls.Certificate { t.Error("the certificate was shown"); return client },
		ServingCertificate: func() *tls.Certificate { return serving },
		Authorities:        func() *x509.CertPool { return trusting },
	})
	defer transports.Close()
	for name, transport := range map[string]http.RoundTripper{"verified": transports.Kubelets, "not verified": transports.UnverifiedKubelets} {
		if got, err := get(t, transport, ourselves.URL); !errors.Is(err, errOurselves) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestEachConnectionShowsTheNewestCertificate(t *testing.T) {
	serving, _ := issued(t)
	first, _ := issued(t)
	second, _ := issued(t)
	server := kubelet(t, serving)
	var newest atomic.Pointer[tls.Certificate]
	newest.Store(first)
	transports := New(Options{ClientCertificate: newest.Load, ServingCertificate: newest.Load})
	defer transports.Close()
	for _, want := range []*tls.Certificate{first, second} {
		newest.Store(want)
		transports.Close()
		if got, err := get(t, transports.Kubelets, server.URL); got != want.Leaf.SerialNumber.String() || err != nil {
			t.Errorf("shows %s, %v, want %s", got, err, want.Leaf.SerialNumber)
		}
	}
}

// TestConnectionsOfAStreamEndWithIt has a handler take over its connection and open another, and then its context end.
func TestConnectionsOfAStreamEndWithIt(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	ctx, end := context.WithCancel(t.Context())
	opened, ended := make(chan struct{}), make(chan error, 2)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w, r = Stream(w, r.WithContext(ctx))
		out, err := dial(r.Context(), "tcp", backend.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		in, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		close(opened)
		for _, connection := range []net.Conn{in, out} {
			_, err := connection.Read(make([]byte, 1)) // neither says anything
			ended <- err
		}
	}))
	defer front.Close()
	client, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-opened
	end()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a connection outlives its stream")
		}
	}
}

func TestRequestsThatUpgradeNothingKeepTheirConnections(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	ctx, end := context.WithCancel(t.Context())
	w := httptest.NewRecorder()
	if gotW, gotR := Stream(w, r.WithContext(ctx)); gotW != http.ResponseWriter(w) || streamOf(gotR.Context()) != nil {
		t.Error("a plain request is taken for a stream")
	}
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	connection, err := dial(ctx, "tcp", backend.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	end()
	if _, err := connection.Write([]byte("x")); err != nil {
		t.Errorf("a pooled connection ends with the request that it was opened for: %v", err)
	}
}
