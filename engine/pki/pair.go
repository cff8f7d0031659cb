package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"gatehouse/engine/datadir"
)

// loadPair reads a certificate of the server's own and its key, both in the file called name, nil if that is not there. What
// is what the certificate is called in errors.
func (b *Bundle) loadPair(name, what string) (*tls.Certificate, error) {
	path := b.path(name)
	content, err := readFile(path, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(content, content)
	if err != nil {
		return nil, fmt.Errorf("%s %s cannot be used: %w; delete it to have a new one issued", what, path, err)
	}
	if !b.authority.issued(pair.Leaf) {
		return nil, fmt.Errorf("%s %s was not issued by %s; delete it to have a new one issued", what, path, b.path(caCertFile))
	}
	return &pair, nil
}

// issuePair issues a certificate and writes it with its key to the file called name, at once and whole.
func (b *Bundle) issuePair(name string, want leaf) (*tls.Certificate, error) {
	certPEM, keyPEM, err := b.authority.issue(want, b.now())
	if err != nil {
		return nil, err
	}
	if err := datadir.WriteFile(b.path(name), slices.Concat(certPEM, keyPEM), datadir.PrivateMode); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate just issued for %s: %w", want.subject.CommonName, err)
	}
	return &pair, nil
}
