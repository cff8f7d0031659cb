package authn

import (
	"crypto/x509"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

const (
	// rememberedCertificates bounds how many verified client certificates are kept in mind: a few for each client.
	rememberedCertificates = 4096
	// rememberedFor is how long a verification holds. Verifying a signature costs as much as all the rest of a cached read; a
	// minute is how late the end of an authority may be noticed. The end of the certificate itself is noticed at once.
	rememberedFor = time.Minute
)

// certificates authenticates by client certificate, common name and organisations as upstream reads them. It remembers what it
// has verified, by the leaf as the TLS connection holds it: that is parsed once, and the connection has proved that the
// client has its key.
type certificates struct {
	pool     func() *x509.CertPool
	verifier authenticator.Request
	clock    clock.PassiveClock
	verified *lru.Cache // *x509.Certificate to verification
}

type verification struct {
	response *authenticator.Response
	pool     *x509.CertPool
	until    time.Time
}

// ClientCertificates lets in who has a certificate of one of the authorities, which are asked for at each request: another
// pool makes all certificates be verified anew.
func ClientCertificates(authorities func() *x509.CertPool) Member {
	return Member{request: newCertificates(authorities, clock.RealClock{}), certificate: true}
}

func newCertificates(pool func() *x509.CertPool, clock clock.PassiveClock) *certificates {
	return &certificates{
		pool:     pool,
		verifier: x509request.NewDynamic(verifyOptions(pool), x509request.CommonNameUserConversion),
		clock:    clock,
		verified: lru.New(rememberedCertificates),
	}
}

var _ authenticator.Request = (*certificates)(nil)

// AuthenticateRequest implements authenticator.Request.
func (c *certificates) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, false, nil
	}
	leaf, pool, now := r.TLS.PeerCertificates[0], c.pool(), c.clock.Now()
	if known, ok := c.verified.Get(leaf); ok {
		if v := known.(verification); v.pool == pool && now.Before(v.until) {
			return v.response, true, nil
		}
	}
	response, ok, err := c.verifier.AuthenticateRequest(r)
	if err != nil || !ok {
		return response, ok, err
	}
	until := now.Add(rememberedFor)
	if leaf.NotAfter.Before(until) {
		until = leaf.NotAfter
	}
	c.verified.Add(leaf, verification{response: response, pool: pool, until: until})
	return response, true, nil
}

// verifyOptions are upstream's for client certificates: the pool, and usage ClientAuth.
func verifyOptions(pool func() *x509.CertPool) x509request.VerifyOptionFunc {
	return func() (x509.VerifyOptions, bool) {
		roots := pool()
		if roots == nil {
			return x509.VerifyOptions{}, false
		}
		options := x509request.DefaultVerifyOptions()
		options.Roots = roots
		return options, true
	}
}
