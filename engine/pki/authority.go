package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"gatehouse/engine/datadir"
)

const (
	caCertFile = "ca.crt"
	caKeyFile  = "ca.key"
)

// authority signs certificates.
type authority struct {
	dir         string // where its files are
	remedy      string // what to do when they cannot be used
	certificate *x509.Certificate
	key         crypto.Signer
	pem         []byte         // of the certificate and of those trusted besides
	pool        *x509.CertPool // of the same
}

// createAuthority makes a new authority and writes it into dir. Its name begins with prefix.
func createAuthority(dir, prefix string, now time.Time) error {
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		// The time tells the authorities of two servers apart, for those who trust both.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("%s@%d", prefix, now.Unix())},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("cannot make a certificate authority: %w", err)
	}
	certPEM, err := encodeCertificate(der)
	if err != nil {
		return err
	}
	return errors.Join(
		datadir.WriteFile(filepath.Join(dir, caKeyFile), keyPEM, datadir.PrivateMode),
		datadir.WriteFile(filepath.Join(dir, caCertFile), certPEM, datadir.PublicMode),
	)
}

// makeAuthority makes the directory, which is not there or empty, with a new authority in it. It appears at once and whole: a
// start that is killed leaves no authority rather than half of one.
func makeAuthority(dir, prefix string, now time.Time) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot replace the empty directory %w", pathError(err))
	}
	parent := filepath.Dir(dir)
	temp, err := os.MkdirTemp(parent, datadir.TempPattern(filepath.Base(dir)))
	if err != nil {
		return err
	}
	if err = createAuthority(temp, prefix, now); err == nil {
		err = os.Rename(temp, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return datadir.SyncDir(parent)
}

// loadAuthority reads the authority in dir and makes sure that it can sign now. Remedy is what errors tell to do.
func loadAuthority(dir, remedy string, now time.Time) (*authority, error) {
	a := &authority{dir: dir, remedy: remedy, pool: x509.NewCertPool()}
	certPath, keyPath := filepath.Join(dir, caCertFile), filepath.Join(dir, caKeyFile)
	certPEM, err := readFile(certPath, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, a.unusable(certPath, "is missing")
	} else if err != nil {
		return nil, err
	}
	keyPEM, err := readFile(keyPath, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, a.unusable(keyPath, "is missing")
	} else if err != nil {
		return nil, err
	}
	certificates, err := cert.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, a.unusable(certPath, fmt.Sprintf("holds no certificate (%v)", err))
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, a.unusable(keyPath, fmt.Sprintf("holds no private key (%v)", err))
	}
	a.certificate, a.key = certificates[0], key
	if err := a.check(now); err != nil {
		return nil, err
	}
	if now.Before(a.certificate.NotBefore) {
		return nil, fmt.Errorf("certificate authority %s is valid from %s on, but this machine's clock says %s; "+
			"set the clock and start again", certPath, a.certificate.NotBefore.Format(time.DateTime), now.UTC().Format(time.DateTime))
	}
	for _, c := range certificates {
		a.pool.AddCert(c)
	}
	if a.pem, err = cert.EncodeCertificates(certificates...); err != nil {
		return nil, fmt.Errorf("cannot encode %s: %w", certPath, err)
	}
	return a, nil
}

// unusable is the error for a file of the authority.
func (a *authority) unusable(path, why string) error {
	return fmt.Errorf("certificate authority %s %s; %s", path, why, a.remedy)
}

// check is nil if the authority can sign at the time.
func (a *authority) check(now time.Time) error {
	if why := a.unfit(now); why != "" {
		return a.unusable(filepath.Join(a.dir, caCertFile), why)
	}
	return nil
}

// unfit says why the authority cannot sign, empty if it can.
func (a *authority) unfit(now time.Time) string {
	c := a.certificate
	switch {
	case !samePublicKey(c.PublicKey, a.key.Public()):
		return "does not belong to " + caKeyFile + " beside it"
	case !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return "is no certificate authority"
	case now.After(c.NotAfter):
		return "expired on " + c.NotAfter.Format(time.DateOnly)
	default:
		return ""
	}
}

// leaf is a certificate to be issued: for a server, with names, or for a client.
type leaf struct {
	subject pkix.Name
	usage   x509.ExtKeyUsage
	dns     []string
	ips     []net.IP
}

// issue makes a key and a certificate for it, valid from now on, as PEM.
func (a *authority) issue(want leaf, now time.Time) (certPEM, keyPEM []byte, err error) {
	if err := a.check(now); err != nil { // It may end under a server that has been running for years.
		return nil, nil, fmt.Errorf("cannot issue a certificate for %s: %w", want.subject.CommonName, err)
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:               want.subject,
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              earlier(now.Add(leafLifetime), a.certificate.NotAfter),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{want.usage},
		BasicConstraintsValid: true,
		DNSNames:              want.dns,
		IPAddresses:           want.ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot issue a certificate for %s: %w", want.subject.CommonName, err)
	}
	certPEM, err = encodeCertificate(der)
	return certPEM, keyPEM, err
}

// issued tells whether the authority's key signed c.
func (a *authority) issued(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, a.certificate.RawSubject) && c.CheckSignatureFrom(a.certificate) == nil
}

// dueReason says why c is to be issued anew now, empty while it is not: when less than a third of its time is left.
func dueReason(c *x509.Certificate, now time.Time) string {
	switch left := c.NotAfter.Sub(now); {
	case left <= 0:
		return "it has expired"
	case left < c.NotAfter.Sub(c.NotBefore)/3:
		return "it is about to expire"
	case now.Before(c.NotBefore):
		return "it is not yet valid"
	default:
		return ""
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// newKey makes a private key (ECDSA P-256: small, quick to make, and known to every client), also as PEM.
func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a private key: %w", err)
	}
	text, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encode a private key: %w", err)
	}
	return key, text, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	parsed, err := keyutil.ParsePrivateKeyPEM(text)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", parsed)
	}
	return key, nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	comparable, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(b)
}

func encodeCertificate(der []byte) ([]byte, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("cannot parse a certificate just made: %w", err)
	}
	return cert.EncodeCertificates(certificate)
}
