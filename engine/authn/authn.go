// Package authn is the first gate: who is asking? It is a chain of upstream's authenticators; the first success wins, and
// what nobody vouches for is refused with 401. Nothing is anonymous but the health endpoints.
package authn

import (
	"crypto/x509"
	"fmt"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/kubernetes/pkg/serviceaccount"
	"k8s.io/utils/clock"
)

// Config names the sources of identities.
type Config struct {
	// ClientCAs vouch for client certificates. It is asked at each request: another pool makes all be verified anew.
	ClientCAs func() *x509.CertPool
	// ServiceAccountIssuers are the iss claims accepted in service account tokens, ServiceAccountKeys verify them.
	ServiceAccountIssuers []string
	ServiceAccountKeys    serviceaccount.PublicKeysGetter
	// ServiceAccounts looks up what a token is bound to: tokens of deleted objects are refused.
	ServiceAccounts serviceaccount.ServiceAccountTokenGetter
	// Audiences are those a token must be meant for when the request names none.
	Audiences authenticator.Audiences
	// AnonymousPaths may be read without any credentials.
	AnonymousPaths []string
}

// New builds the chain: client certificate, service account token, anonymous for AnonymousPaths.
func New(config Config) (authenticator.Request, error) {
	if config.ClientCAs == nil {
		return nil, fmt.Errorf("authentication: no client CAs are configured")
	}
	tokens := serviceaccount.JWTTokenAuthenticator(config.ServiceAccountIssuers, config.ServiceAccountKeys, config.Audiences,
		serviceaccount.NewValidator(config.ServiceAccounts))
	identified := group.NewAuthenticatedGroupAdder(union.New(
		newCertificates(config.ClientCAs, clock.RealClock{}),
		bearertoken.New(tokens),
		websocket.NewProtocolAuthenticator(tokens),
	))
	if len(config.AnonymousPaths) == 0 {
		return identified, nil
	}
	conditions := make([]apiserver.AnonymousAuthCondition, len(config.AnonymousPaths))
	for i, path := range config.AnonymousPaths {
		conditions[i].Path = path
	}
	return union.NewFailOnError(identified, anonymous.NewAuthenticator(conditions)), nil
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
