package capability

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"gatehouse/plugins/sandbox"
)

const (
	// maxChain is how many certificates a chain may have.
	maxChain = 10
	// maxRoots is how many authorities may be given.
	maxRoots = 100
)

// certRequest is the payload of crypto.verify_cert.
type certRequest struct {
	// Chain is what a client has sent, its own certificate first, each the base64 of its DER: as RequestReviews have them.
	Chain []string `json:"chain"`
	// Roots are the authorities that are trusted, as PEM. Those of the system are not.
	Roots string `json:"roots"`
	// Usages are those of which the certificate must have one: clientAuth, serverAuth, codeSigning, emailProtection, or any.
	Usages []string `json:"usages"`
	// DNSName must be one that the certificate is for; not looked at when left out.
	DNSName string `json:"dnsName"`
	// Time is when it must be valid; now when left out.
	Time *time.Time `json:"time"`
}

// certAnswer is the answer: what is in the certificate if it is valid, and otherwise why it is not.
type certAnswer struct {
	Valid       bool             `json:"valid"`
	Certificate *certDescription `json:"certificate,omitempty"`
	Reason      string           `json:"reason,omitempty"`
}

type certDescription struct {
	CommonName          string    `json:"commonName,omitempty"`
	Organizations       []string  `json:"organizations,omitempty"`
	OrganizationalUnits []string  `json:"organizationalUnits,omitempty"`
	DNSNames            []string  `json:"dnsNames,omitempty"`
	EmailAddresses      []string  `json:"emailAddresses,omitempty"`
	IPAddresses         []string  `json:"ipAddresses,omitempty"`
	URIs                []string  `json:"uris,omitempty"`
	Issuer              string    `json:"issuer"`
	SerialNumber        string    `json:"serialNumber"` // in hexadecimal
	NotBefore           time.Time `json:"notBefore"`
	NotAfter            time.Time `json:"notAfter"`
	SHA256              string    `json:"sha256"` // of the DER, in hexadecimal
}

// verifyCert answers crypto.verify_cert. A question that cannot be answered is an error; a certificate that is none is not valid.
func verifyCert(now func() time.Time) sandbox.Operation {
	return func(_ context.Context, payload []byte) ([]byte, error) {
		var request certRequest
		if err := decode(payload, &request); err != nil {
			return nil, err
		}
		options, err := request.options(now)
		if err != nil {
			return nil, err
		}
		leaf, err := request.verify(options)
		if err != nil {
			return encode(certAnswer{Reason: err.Error()})
		}
		return encode(certAnswer{Valid: true, Certificate: describe(leaf)})
	}
}

// options are what the certificate is to be held against.
func (r certRequest) options(now func() time.Time) (x509.VerifyOptions, error) {
	options := x509.VerifyOptions{DNSName: r.DNSName, CurrentTime: now()}
	if r.Time != nil {
		options.CurrentTime = *r.Time
	}
	if options.CurrentTime.IsZero() { // which would mean now
		return options, errors.New("time is none")
	}
	roots, err := parsePEM(r.Roots)
	if err != nil {
		return options, fmt.Errorf("roots: %w", err)
	}
	options.Roots = x509.NewCertPool()
	for _, root := range roots {
		options.Roots.AddCert(root)
	}
	for _, name := range r.Usages {
		usage, known := map[string]x509.ExtKeyUsage{
			"clientAuth": x509.ExtKeyUsageClientAuth, "serverAuth": x509.ExtKeyUsageServerAuth, "codeSigning": x509.ExtKeyUsageCodeSigning,
			"emailProtection": x509.ExtKeyUsageEmailProtection, "any": x509.ExtKeyUsageAny,
		}[name]
		if !known {
			return options, fmt.Errorf("usages: %q is none of clientAuth, serverAuth, codeSigning, emailProtection, any", name)
		}
		options.KeyUsages = append(options.KeyUsages, usage)
	}
	if len(options.KeyUsages) == 0 {
		return options, errors.New("usages is missing: say what the certificate is to be good for, [clientAuth] for one")
	}
	if len(r.Chain) == 0 || len(r.Chain) > maxChain {
		return options, fmt.Errorf("chain has %d certificates, it must have 1 to %d", len(r.Chain), maxChain)
	}
	return options, nil
}

func (r certRequest) verify(options x509.VerifyOptions) (*x509.Certificate, error) {
	options.Intermediates = x509.NewCertPool()
	var leaf *x509.Certificate
	for i, text := range r.Chain {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain is no base64", i+1)
		}
		certificate, err := parseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", i+1, err)
		}
		if i == 0 {
			leaf = certificate
		} else {
			options.Intermediates.AddCert(certificate)
		}
	}
	if _, err := leaf.Verify(options); err != nil {
		return nil, err
	}
	return leaf, nil
}

// parseCertificate refuses keys that take long to compute with, for verifying is done at a client's wish.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if key, ok := certificate.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
		return nil, fmt.Errorf("its key has %d bits, at most %d are computed with", key.N.BitLen(), maxRSA)
	}
	return certificate, nil
}

// parsePEM reads authorities.
func parsePEM(text string) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("has a %s where certificates should be", block.Type)
		}
		certificate, err := parseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if certificates = append(certificates, certificate); len(certificates) > maxRoots {
			return nil, fmt.Errorf("has more than %d certificates", maxRoots)
		}
	}
	if len(certificates) == 0 {
		return nil, errors.New("has no certificate in PEM")
	}
	return certificates, nil
}

func describe(c *x509.Certificate) *certDescription {
	sum := sha256.Sum256(c.Raw)
	d := &certDescription{
		CommonName: c.Subject.CommonName, Organizations: c.Subject.Organization, OrganizationalUnits: c.Subject.OrganizationalUnit,
		DNSNames: c.DNSNames, EmailAddresses: c.EmailAddresses, Issuer: c.Issuer.String(), SerialNumber: c.SerialNumber.Text(16),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, SHA256: hex.EncodeToString(sum[:]),
	}
	for _, address := range c.IPAddresses {
		d.IPAddresses = append(d.IPAddresses, address.String())
	}
	for _, uri := range c.URIs {
		d.URIs = append(d.URIs, uri.String())
	}
	return d
}
