package command

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/util/cert"

	"gatehouse/engine/datadir"
)

const (
	// maxRequestSize is more than any certificate request takes that a server would read.
	maxRequestSize = 1 << 20
	// newRequestBlockType is how older tools call a certificate request.
	newRequestBlockType = "NEW " + cert.CertificateRequestBlockType
	// maxSubjectLength is how much of a subject gets into the name of a request, and nameHashLength how many hexadecimal digits
	// tell requests of one subject apart.
	maxSubjectLength = 40
	nameHashLength   = 10
)

// certificateRequest is what somebody wants a certificate for.
type certificateRequest struct {
	*x509.CertificateRequest
	pem []byte
}

// readRequest reads a certificate request, in PEM or DER, that was signed with its own key.
func readRequest(path string) (certificateRequest, error) {
	file, err := os.Open(path)
	if err != nil {
		return certificateRequest{}, fmt.Errorf("cannot read the certificate request: %w", err)
	}
	defer func() { _ = file.Close() }() // Only read.
	content, err := io.ReadAll(io.LimitReader(file, maxRequestSize+1))
	if err != nil {
		return certificateRequest{}, fmt.Errorf("cannot read the certificate request: %w", err)
	}
	request, err := parseRequest(content)
	if err != nil {
		return certificateRequest{}, fmt.Errorf("%s %w; `gatehouse help certificate request` shows how to make one", path, err)
	}
	return request, nil
}

// parseRequest returns an error that goes on where "client.csr" begins.
func parseRequest(content []byte) (certificateRequest, error) {
	if len(content) > maxRequestSize {
		return certificateRequest{}, fmt.Errorf("is larger than any certificate request, which take at most %d bytes", maxRequestSize)
	}
	der, err := requestDER(content)
	if err != nil {
		return certificateRequest{}, err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return certificateRequest{}, fmt.Errorf("holds no certificate request that can be read (%w)", err)
	}
	if err := request.CheckSignature(); err != nil {
		return certificateRequest{}, fmt.Errorf("holds a certificate request that was changed after its key had signed it (%w)", err)
	}
	return certificateRequest{request, pem.EncodeToMemory(&pem.Block{Type: cert.CertificateRequestBlockType, Bytes: der})}, nil
}

// requestDER finds the request among the PEM blocks of a file, which is the request itself if it has none.
func requestDER(content []byte) ([]byte, error) {
	var others []string
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == cert.CertificateRequestBlockType || block.Type == newRequestBlockType {
			return block.Bytes, nil
		}
		others = append(others, block.Type)
	}
	switch {
	case len(others) > 0:
		return nil, fmt.Errorf("holds no certificate request, but %s", strings.ToLower(strings.Join(others, ", ")))
	case len(content) == 0:
		return nil, errors.New("is empty")
	default:
		return content, nil
	}
}

// requestName makes the name of the request for all that is asked for: the same again if that is the same.
func requestName(request certificateRequest, asked ...string) string {
	hash := sha256.New()
	hash.Write(request.Raw)
	for _, text := range asked {
		fmt.Fprintf(hash, "\x00%s", text)
	}
	subject := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, request.Subject.CommonName)
	subject = strings.Trim(subject[:min(len(subject), maxSubjectLength)], "-")
	if subject == "" {
		subject = "csr"
	}
	return subject + "-" + hex.EncodeToString(hash.Sum(nil))[:nameHashLength]
}

// checkDestination finds out before anybody is asked for anything whether the certificate could be saved.
func checkDestination(path string, force bool) error {
	if path == "" {
		return nil
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("cannot save the certificate: %s is a directory; name a file in it", path)
	case err == nil && !force:
		return existsError(path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot save the certificate: %w", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot save the certificate: %w", err)
	}
	return nil
}

func existsError(path string) error {
	return fmt.Errorf("%s exists; --force replaces it, and --save-to can name another file", path)
}

// saveCertificate writes the file whole or not at all.
func saveCertificate(path string, content []byte, force bool) error {
	if force {
		return datadir.WriteFile(path, content, datadir.PublicMode)
	}
	err := datadir.CreateFile(path, content, datadir.PublicMode)
	if errors.Is(err, fs.ErrExist) {
		return existsError(path)
	}
	return err
}

// checkCertificate makes sure that the certificate is for the key that the request is of, and of use now.
func checkCertificate(text []byte, request certificateRequest, now time.Time) (*x509.Certificate, error) {
	chain, err := cert.ParseCertsPEM(text)
	if err != nil {
		return nil, fmt.Errorf("the signer's answer is no certificate: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(chain[0].PublicKey)
	if err != nil {
		return nil, fmt.Errorf("the signer's certificate has a key that cannot be used: %w", err)
	}
	if !bytes.Equal(public, request.RawSubjectPublicKeyInfo) {
		return nil, errors.New("the signer's certificate is for another key than that of the request")
	}
	if end := chain[0].NotAfter; now.After(end) {
		return nil, fmt.Errorf("the certificate was issued some time ago and expired on %s; ask for another with --name",
			end.Format(time.RFC3339))
	}
	return chain[0], nil
}
