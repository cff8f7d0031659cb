package authn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	clocktesting "k8s.io/utils/clock/testing"
)

// authority signs certificates in tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	return authority{}.sign(t, x509.Certificate{IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(24 * time.Hour)})
}

// sign makes a certificate, signed by itself if a is none.
func (a authority) sign(t *testing.T, template x509.Certificate) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore = time.Now().Add(-time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = &template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func (a authority) client(t *testing.T, notAfter time.Time, usage ...x509.ExtKeyUsage) *http.Request {
	t.Helper()
	leaf := a.sign(t, x509.Certificate{
		Subject:     pkix.Name{CommonName: "jane", Organization: []string{"dev", "ops"}},
		NotAfter:    notAfter,
		ExtKeyUsage: usage,
	})
	return &http.Request{TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.certificate}}}
}

// counted counts how often a signature is verified.
type counted struct {
	authenticator.Request
	calls int
}

func (c *counted) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	c.calls++
	return c.Request.AuthenticateRequest(r)
}

func TestCertificateNamesUserAndGroups(t *testing.T) {
	ca := newAuthority(t)
	response, ok, err := newCertificates(ca.pool, clocktesting.NewFakePassiveClock(time.Now())).
		AuthenticateRequest(ca.client(t, time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth))
	if err != nil || !ok {
		t.Fatalf("not authenticated: %v", err)
	}
	if response.User.GetName() != "jane" {
		t.Errorf("user %q, want jane", response.User.GetName())
	}
	if diff := cmp.Diff([]string{"dev", "ops"}, response.User.GetGroups()); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestCertificateThatNobodyVouchesForIsRefused(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	for name, request := range map[string]*http.Request{
		"of another authority":        other.client(t, later, x509.ExtKeyUsageClientAuth),
		"expired":                     ca.client(t, time.Now().Add(-time.Minute), x509.ExtKeyUsageClientAuth),
		"for servers":                 ca.client(t, later, x509.ExtKeyUsageServerAuth),
		"none, over a TLS connection": {TLS: &tls.ConnectionState{}},
		"none, over no TLS":           {},
	} {
		t.Run(name, func(t *testing.T) {
			_, ok, _ := newCertificates(ca.pool, clocktesting.NewFakePassiveClock(time.Now())).AuthenticateRequest(request)
			if ok {
				t.Error("authenticated")
			}
		})
	}
}

func TestVerificationIsRememberedNoLongerThanItHolds(t *testing.T) {
	ca := newAuthority(t)
	pool := ca.pool()
	now := time.Now()
	clock := clocktesting.NewFakePassiveClock(now)
	gate := newCertificates(func() *x509.CertPool { return pool }, clock)
	verifier := &counted{Request: gate.verifier}
	gate.verifier = verifier
	request := ca.client(t, now.Add(90*time.Second), x509.ExtKeyUsageClientAuth)
	ask := func(want bool, calls int) {
		t.Helper()
		if _, ok, _ := gate.AuthenticateRequest(request); ok != want {
			t.Errorf("authenticated: %t, want %t", ok, want)
		}
		if verifier.calls != calls {
			t.Errorf("verified %d times, want %d", verifier.calls, calls)
		}
	}

	ask(true, 1)
	ask(true, 1)
	clock.SetTime(now.Add(rememberedFor))
	ask(true, 2)
	ask(true, 2)
	pool = newAuthority(t).pool()
	ask(false, 3)
	ask(false, 4)
	pool = ca.pool()
	ask(true, 5)
	clock.SetTime(now.Add(90 * time.Second)) // the certificate's end, within a minute of its last verification
	ask(true, 6)                             // by the verifier's own clock, which is real, it has not ended
	ask(true, 7)
}
