package authentication

import (
	"bytes"
	"crypto/tls"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"gatehouse/tests/harness"
)

func (w *world) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: w.roots, ServerName: "localhost"}
}

// dialTLS connects without a certificate, and notes the authorities that the server names.
func dialTLS(t *testing.T, address string, config *tls.Config, named *[][]byte) *tls.Conn {
	t.Helper()
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*named = request.AcceptableCAs
		return &tls.Certificate{}, nil
	}
	connection, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

func containsBytes(all [][]byte, one []byte) bool {
	return slices.ContainsFunc(all, func(other []byte) bool { return bytes.Equal(one, other) })
}

// failToStart runs a server that must not start, and returns what it says.
func failToStart(t *testing.T, flags ...string) string {
	t.Helper()
	binary, err := harness.Binary(t.Context(), harness.Plain)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"serve", "--data-dir", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0"}, flags...)
	output, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
	if err == nil {
		t.Fatalf("the server starts:\n%s", output)
	}
	return string(output)
}
