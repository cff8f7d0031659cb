package pki

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/util/cert"
	upstream "k8s.io/kubernetes/pkg/controller/certificates/authority"
)

// As upstream's signers have them: certificates are valid from a little before they are issued, and those for less than a
// working day end that much later for it.
const (
	signedBackdate = 5 * time.Minute
	signedShort    = 8 * time.Hour
)

// Sign issues a certificate, as PEM, for what a certificate request asks for: its key, subject and names, with usages, for
// lifetime or until the authority ends. Nothing else of the request gets into the certificate, so it is never an
// authority's. Whether the request may be granted is the caller's to know; that its sender has the key is checked here.
func (b *Bundle) Sign(
	request *x509.CertificateRequest, usages []certificatesv1.KeyUsage, lifetime time.Duration,
) ([]byte, error) {
	if err := b.authority.check(b.now()); err != nil {
		return nil, fmt.Errorf("cannot sign the request of %s: %w", request.Subject, err)
	}
	signer := upstream.CertificateAuthority{Certificate: b.authority.certificate, PrivateKey: b.authority.key}
	der, err := signer.Sign(request.Raw, upstream.PermissiveSigningPolicy{
		TTL:      lifetime,
		Usages:   usages,
		Backdate: signedBackdate,
		Short:    signedShort,
		Now:      b.now,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot sign the request of %s: %w", request.Subject, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der}), nil
}
