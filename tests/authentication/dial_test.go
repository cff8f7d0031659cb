package authentication

import (
	"bytes"
	"context"
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
	process, err := harness.Launch(t.Context(), harness.Options{DataDir: filepath.Join(t.TempDir(), "data"), Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-process.Exited():
		return process.Log().String()
	case <-ctx.Done():
		_ = process.Kill() // it is to be gone; that it was there is what is told
		t.Fatalf("the server starts:\n%s", process.Log())
		return ""
	}
}

// kubectl runs the real one with a token, and returns what it prints.
func (w *world) kubectl(t *testing.T, token string, args ...string) string {
	t.Helper()
	binary, err := harness.Kubectl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config := file(t.TempDir(), "kubeconfig") // without anybody's certificate
	write(t, config, "")
	args = append([]string{"--kubeconfig", config, "--server", "https://" + w.Process().Address(),
		"--certificate-authority", file(w.DataDir(), "pki/ca.crt"), "--token", token}, args...)
	output, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl: %v\n%s", err, output)
	}
	return string(output)
}
