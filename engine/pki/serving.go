package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"gatehouse/engine/datadir"
)

const servingFile = "serving.pem"

// refreshServing makes sure that the serving certificate is one for all names and with time left.
func (b *Bundle) refreshServing() error {
	host, err := b.request.Host()
	if err != nil {
		return err
	}
	want := servingNames(b.request, host)
	current, err := b.loadServing()
	if err != nil {
		return err
	}
	if reason := b.servingReason(current, want); reason != "" {
		if current, err = b.issueServing(want, reason); err != nil {
			return err
		}
	}
	b.serving.Store(current)
	return nil
}

// loadServing reads the serving certificate, nil if there is none.
func (b *Bundle) loadServing() (*tls.Certificate, error) {
	path := b.path(servingFile)
	content, err := readFile(path, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(content, content)
	if err != nil {
		return nil, fmt.Errorf("serving certificate %s cannot be used: %w; delete it to have a new one issued", path, err)
	}
	if !b.authority.issued(pair.Leaf) {
		return nil, fmt.Errorf("serving certificate %s was not issued by %s; delete it to have a new one issued", path, b.path(caCertFile))
	}
	return &pair, nil
}

// servingReason says why a serving certificate has to be issued, empty if the current one will do.
func (b *Bundle) servingReason(current *tls.Certificate, want names) string {
	if current == nil {
		return "there was none"
	}
	if has := certificateNames(current.Leaf.DNSNames, current.Leaf.IPAddresses); !has.equal(want) {
		return "the names of this machine or in the configuration have changed"
	}
	return dueReason(current.Leaf, b.now())
}

func (b *Bundle) issueServing(want names, reason string) (*tls.Certificate, error) {
	certPEM, keyPEM, err := b.authority.issue(leaf{
		subject: pkix.Name{CommonName: "gatehouse"},
		usage:   x509.ExtKeyUsageServerAuth,
		dns:     want.dns,
		ips:     want.netIPs(),
	}, b.now())
	if err != nil {
		return nil, err
	}
	if err := datadir.WriteFile(b.path(servingFile), slices.Concat(certPEM, keyPEM), datadir.PrivateMode); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("cannot use the serving certificate just issued: %w", err)
	}
	b.request.Logger.Info("issued a serving certificate", "file", b.path(servingFile), "reason", reason,
		"expires", pair.Leaf.NotAfter, "names", want.dns, "addresses", want.ips)
	return &pair, nil
}
