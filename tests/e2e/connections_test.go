package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"gatehouse/tests/harness"
)

// TestConnections looks at what clients meet before they can ask anything.
func TestConnections(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	config := server.ClientConfig()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(config.CAData) {
		t.Fatal("the kubeconfig has no authority")
	}
	administrator, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("the certificate is good for every name the server has", func(t *testing.T) {
		for _, name := range []string{"127.0.0.1", "localhost", "10.96.0.1", "kubernetes", "kubernetes.default",
			"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"} {
			connection, err := tls.Dial("tcp", server.Process().Address(), &tls.Config{RootCAs: roots, ServerName: name})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if err := connection.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("it is for no other name", func(t *testing.T) {
		_, err := tls.Dial("tcp", server.Process().Address(), &tls.Config{RootCAs: roots, ServerName: "example.org"})
		var wrongName x509.HostnameError
		if !errors.As(err, &wrongName) {
			t.Errorf("got %v, want that the name is wrong", err)
		}
	})
	t.Run("old TLS is refused", func(t *testing.T) {
		_, err := tls.Dial("tcp", server.Process().Address(), &tls.Config{RootCAs: roots, ServerName: "localhost",
			MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11})
		if err == nil {
			t.Error("TLS 1.1 is accepted")
		}
	})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol+" is spoken", func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{administrator}},
				Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(protocol == "HTTP/1.1")
			transport.Protocols.SetHTTP2(protocol == "HTTP/2.0")
			defer transport.CloseIdleConnections()
			response, err := (&http.Client{Transport: transport}).Get(config.Host + "/api/v1/namespaces/default")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.Proto != protocol || response.StatusCode != http.StatusOK {
				t.Errorf("got %s %s, want %s 200", response.Proto, response.Status, protocol)
			}
		})
	}
	t.Run("a certificate of another authority is nobody's", func(t *testing.T) {
		stranger := harness.Start(t, harness.Options{}).ClientConfig()
		mixed := rest.CopyConfig(config)
		mixed.CertData, mixed.KeyData = stranger.CertData, stranger.KeyData
		if _, err := typed(t, mixed).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err == nil {
			t.Error("it can list nodes")
		}
	})
	t.Run("the administrator's certificate says who that is", func(t *testing.T) {
		block, _ := pem.Decode(config.CertData)
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(certificate.Subject.Organization, "system:masters") ||
			!slices.Contains(certificate.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
			t.Errorf("got the subject %s for %v", certificate.Subject, certificate.ExtKeyUsage)
		}
	})
	t.Run("plain HTTP is told to use HTTPS", func(t *testing.T) {
		response, err := http.Get("http://" + server.Process().Address() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("got %s, want 400", response.Status)
		}
	})
}

// TestRequestsUnderWayAreAnswered stops the server while it waits for the rest of a body.
func TestRequestsUnderWayAreAnswered(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	config := server.ClientConfig()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	body, rest := io.Pipe()
	request, err := http.NewRequestWithContext(within(t, patience), http.MethodPost, config.Host+mapsPath, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	type result struct {
		response *http.Response
		err      error
	}
	answered := make(chan result, 1)
	go func() {
		response, err := client.Do(request)
		answered <- result{response, err}
	}()
	// Nothing is taken from the pipe before the request is sent, and what is asked later on the same connection is heard later.
	if _, err := io.WriteString(rest, `{"metadata":{"name":"late"}`); err != nil {
		t.Fatal(err)
	}
	later, err := client.Get(config.Host + "/version")
	if err != nil {
		t.Fatal(err)
	}
	if err := later.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Process().Terminate(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return wantRefused(t.Context(), server.Process().Address()) })
	if _, err := io.WriteString(rest, `}`); err != nil {
		t.Fatal(err)
	}
	if err := rest.Close(); err != nil {
		t.Fatal(err)
	}
	got := <-answered
	if got.err != nil {
		t.Fatalf("the request under way failed: %v", got.err)
	}
	defer got.response.Body.Close()
	if got.response.StatusCode != http.StatusCreated {
		t.Errorf("the request under way got %s, want 201", got.response.Status)
	}
	select {
	case <-server.Process().Exited():
	case <-within(t, patience).Done():
		t.Fatal("the server does not end")
	}
	server.Restart()
	if _, err := typed(t, config).CoreV1().ConfigMaps("default").Get(t.Context(), "late", metav1.GetOptions{}); err != nil {
		t.Errorf("what was answered is not there: %v", err)
	}
}

// wantRefused returns an error while the server takes new connections.
func wantRefused(ctx context.Context, address string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	return errors.Join(fmt.Errorf("%s still takes connections", address), connection.Close())
}
