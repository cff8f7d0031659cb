package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/util/cert"
)

// requestFor makes a certificate request with a key of its own.
func requestFor(t *testing.T, template x509.CertificateRequest) *x509.CertificateRequest {
	t.Helper()
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func signed(t *testing.T, b *Bundle, request *x509.CertificateRequest, lifetime time.Duration) *x509.Certificate {
	t.Helper()
	text, err := b.Sign(request, []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}, lifetime)
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := cert.ParseCertsPEM(text)
	if err != nil || len(certificates) != 1 {
		t.Fatalf("%d certificates, want one: %v", len(certificates), err)
	}
	return certificates[0]
}

func TestASignedCertificateHasWhatWasAskedForAndIsNoAuthority(t *testing.T) {
	f := newFixture(t)
	bundle := f.ensure()
	constraints, err := asn1.Marshal(struct{ IsCA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	spiffe := &url.URL{Scheme: "spiffe", Host: "example.org", Path: "/jane"}
	request := requestFor(t, x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "jane", Organization: []string{"dev", "ops"}},
		DNSNames: []string{"jane.example.org"},
		URIs:     []*url.URL{spiffe},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: constraints},    // basic constraints: an authority
			{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{0x03, 0x02, 0x01, 0x06}}, // key usage: sign certificates
		},
	})
	got := signed(t, bundle, request, day)
	if got.IsCA || got.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("authority: %t, key usage %b", got.IsCA, got.KeyUsage)
	}
	if want := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}; !cmp.Equal(got.ExtKeyUsage, want) {
		t.Errorf("extended key usage is %v, want %v", got.ExtKeyUsage, want)
	}
	if got.Subject.String() != "CN=jane,O=dev+O=ops" || !cmp.Equal(got.DNSNames, request.DNSNames) || !cmp.Equal(got.URIs, request.URIs) {
		t.Errorf("subject %s, names %v %v", got.Subject, got.DNSNames, got.URIs)
	}
	if !samePublicKey(got.PublicKey, request.PublicKey) {
		t.Error("the certificate is for another key")
	}
	_, err = got.Verify(x509.VerifyOptions{
		Roots: bundle.ClientCAs(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: f.clock.Now(),
	})
	if err != nil {
		t.Error(err)
	}
	if again := signed(t, bundle, request, day); again.SerialNumber.Cmp(got.SerialNumber) == 0 {
		t.Error("two certificates have the same serial number")
	}
}

func TestSignedCertificatesLastAsUpstreams(t *testing.T) {
	f := newFixture(t)
	bundle := f.ensure()
	request := requestFor(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}})
	now, end := f.clock.Now(), bundle.authority.certificate.NotAfter
	for name, test := range map[string]struct {
		lifetime time.Duration
		ends     time.Time
	}{
		"a long lifetime begins before now":                   {365 * day, now.Add(365*day - signedBackdate)},
		"a short lifetime begins now, but for others' clocks": {10 * time.Minute, now.Add(10 * time.Minute)},
		"no lifetime goes beyond the authority's":             {40 * 365 * day, end},
	} {
		t.Run(name, func(t *testing.T) {
			got := signed(t, bundle, request, test.lifetime)
			if want := now.Add(-signedBackdate); !got.NotBefore.Equal(want) {
				t.Errorf("valid from %s on, want %s", got.NotBefore, want)
			}
			if !got.NotAfter.Equal(test.ends) {
				t.Errorf("ends %s, want %s", got.NotAfter, test.ends)
			}
		})
	}
}

func TestRequestsThatCannotBeSignedAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*fixture, *x509.CertificateRequest)
		usages []certificatesv1.KeyUsage
		want   string
	}{
		"signed by a key that is not its own": {
			change: func(_ *fixture, r *x509.CertificateRequest) { r.Raw[len(r.Raw)-1] ^= 1 },
			want:   "cannot sign the request of CN=jane: unable to verify certificate request signature",
		},
		"for a usage that there is not": {
			usages: []certificatesv1.KeyUsage{"everything"},
			want:   `cannot sign the request of CN=jane: unrecognized usage values: ["everything"]`,
		},
		"after the authority's end": {
			change: func(f *fixture, _ *x509.CertificateRequest) { f.clock.Step(caLifetime + day) },
			want:   "pki/ca.crt expired on 2046-11-18; restore it from a backup, or move directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			bundle := f.ensure()
			request := requestFor(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}})
			if test.change != nil {
				test.change(f, request)
			}
			text, err := bundle.Sign(request, test.usages, day)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
			if text != nil {
				t.Error("there is a certificate all the same")
			}
		})
	}
}
