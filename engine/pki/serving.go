package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
)

const servingFile = "serving.pem"

// refreshServing makes sure that the serving certificate is one for all names and with time left.
func (b *Bundle) refreshServing() error {
	host, err := b.request.Host()
	if err != nil {
		return err
	}
	want := servingNames(b.request, host)
	current, err := b.loadPair(servingFile, "serving certificate")
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
	pair, err := b.issuePair(servingFile, leaf{
		subject: pkix.Name{CommonName: "gatehouse"},
		usage:   x509.ExtKeyUsageServerAuth,
		dns:     want.dns,
		ips:     want.netIPs(),
	})
	if err != nil {
		return nil, err
	}
	b.request.Logger.Info("issued a serving certificate", "file", b.path(servingFile), "reason", reason,
		"expires", pair.Leaf.NotAfter, "names", want.dns, "addresses", want.ips)
	return pair, nil
}
