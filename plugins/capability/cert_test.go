package capability_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/plugins/capability"
)

// holder is a certificate and its key.
type holder struct {
	*x509.Certificate
	key crypto.Signer
}

// issue has parent sign a certificate; a nil parent signs itself.
func issue(t *testing.T, template *x509.Certificate, parent *holder) *holder {
	t.Helper()
	key := other(t)
	if parent == nil {
		parent = &holder{template, key}
	}
	template.SerialNumber = big.NewInt(255)
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Certificate, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{certificate, key}
}

func authority(c *clock, name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: c.now.Add(-time.Hour), NotAfter: c.now.Add(time.Hour)}
}

func (h *holder) base64() string { return base64.StdEncoding.EncodeToString(h.Raw) }
func (h *holder) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Raw}))
}

func TestCertificatesAreVerified(t *testing.T) {
	c := newClock()
	root := issue(t, authority(c, "root"), nil)
	between := issue(t, authority(c, "between"), root)
	stranger := issue(t, authority(c, "root"), nil)
	leaf := issue(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "jane", Organization: []string{"devs"}},
		DNSNames:    []string{"jane.example"},
		IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "example", Path: "/jane"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore:   c.now.Add(-time.Minute), NotAfter: c.now.Add(time.Minute),
	}, between)
	o := granted(t, capability.Host{Now: c.Now}, "{crypto: {verifyCert: true}}")
	chain := []string{leaf.base64(), between.base64()}
	many := make([]string, 11)
	private := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("secret")}))
	for _, test := range []struct {
		name  string
		chain []string
		roots string
		rest  string
		want  string
	}{
		{"a good chain", chain, root.pem(), `"usages":["clientAuth"]`, `{"valid":true,"certificate":{"commonName":"jane","organizations":["devs"],` +
			`"dnsNames":["jane.example"],"ipAddresses":["192.0.2.1"],"uris":["spiffe://example/jane"],"issuer":"CN=between","serialNumber":"ff",…`},
		{"one root of several", chain, stranger.pem() + root.pem(), `"usages":["clientAuth"]`, `{"valid":true,…`},
		{"any use", chain, root.pem(), `"usages":["any"]`, `{"valid":true,…`},
		{"its name", chain, root.pem(), `"usages":["clientAuth"],"dnsName":"jane.example"`, `{"valid":true,…`},
		{"another name", chain, root.pem(), `"usages":["clientAuth"],"dnsName":"joe.example"`, `{"valid":false,"reason":"x509: certificate is valid for jane.example, not joe.example"}`},
		{"another use", chain, root.pem(), `"usages":["serverAuth"]`, `{"valid":false,"reason":"x509: certificate specifies an incompatible key usage"}`},
		{"in an hour", chain, root.pem(), `"usages":["clientAuth"],"time":"2026-05-01T12:30:00Z"`, `{"valid":false,"reason":"x509: certificate has expired or is not yet valid…`},
		{"a gap in the chain", chain[:1], root.pem(), `"usages":["clientAuth"]`, `{"valid":false,"reason":"x509: certificate signed by unknown authority"}`},
		{"another authority of the same name", chain, stranger.pem(), `"usages":["clientAuth"]`, `{"valid":false,"reason":"x509: certificate signed by unknown authority…`},
		{"a certificate that is none", []string{"AAAA"}, root.pem(), `"usages":["clientAuth"]`, `{"valid":false,"reason":"certificate 1 of the chain: …`},
		{"no base64", []string{leaf.base64(), "?"}, root.pem(), `"usages":["clientAuth"]`, `{"valid":false,"reason":"certificate 2 of the chain is no base64"}`},
		{"no authority, which are not the system's then", chain, "", `"usages":["clientAuth"]`, "error: roots: has no certificate in PEM"},
		{"a key for an authority", chain, private, `"usages":["clientAuth"]`, "error: roots: has a EC PRIVATE KEY where certificates should be"},
		{"no use", chain, root.pem(), `"usages":[]`, "error: usages is missing: …"},
		{"an unknown use", chain, root.pem(), `"usages":["client auth"]`, `error: usages: "client auth" is none of …`},
		{"no certificate", nil, root.pem(), `"usages":["any"]`, "error: chain has 0 certificates, it must have 1 to 10"},
		{"too many", many, root.pem(), `"usages":["any"]`, "error: chain has 11 certificates, it must have 1 to 10"},
		{"too many authorities", chain, strings.Repeat(root.pem(), 101), `"usages":["any"]`, "error: roots: has more than 100 certificates"},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := fmt.Sprintf(`{"chain":%s,"roots":%s,%s}`, encoded(t, test.chain), encoded(t, test.roots), test.rest)
			expect(t, test.rest, o.ask("crypto.verify_cert", payload), test.want)
		})
	}
}
