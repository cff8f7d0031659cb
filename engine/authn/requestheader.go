package authn

import (
	"crypto/x509"
	"fmt"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
)

// RequestHeaders says how proxies tell whom they have authenticated.
type RequestHeaders struct {
	// Authorities vouch for the proxies' certificates. It is asked at each request.
	Authorities func() *x509.CertPool
	// AllowedNames are the common names a proxy can have; none allows all.
	AllowedNames []string
	// Username, UID and Group are names of headers, ExtraPrefixes what the names of others begin with.
	Username, UID, Group, ExtraPrefixes []string
}

// Config is the same for upstream's filter, which removes the headers before anybody else could trust in them.
func (h RequestHeaders) Config() *authenticatorfactory.RequestHeaderConfig {
	return &authenticatorfactory.RequestHeaderConfig{
		UsernameHeaders:     headerrequest.StaticStringSlice(h.Username),
		UIDHeaders:          headerrequest.StaticStringSlice(h.UID),
		GroupHeaders:        headerrequest.StaticStringSlice(h.Group),
		ExtraHeaderPrefixes: headerrequest.StaticStringSlice(h.ExtraPrefixes),
		AllowedClientNames:  headerrequest.StaticStringSlice(h.AllowedNames),
	}
}

// requestHeaders lets proxies say in headers who it is that they ask for.
type requestHeaders struct {
	authenticator.Request
	// single are the headers of which there must not be two, names those of them without which nobody is named.
	single, names []string
}

// RequestHeader lets in whom a proxy names that has a certificate as headers says. It is good for the audiences.
func RequestHeader(headers RequestHeaders, audiences authenticator.Audiences) Member {
	config := headers.Config()
	verified := headerrequest.NewDynamicVerifyOptionsSecure(verifyOptions(headers.Authorities), config.AllowedClientNames,
		config.UsernameHeaders, config.UIDHeaders, config.GroupHeaders, config.ExtraHeaderPrefixes)
	canonical := func(lists ...[]string) (names []string) {
		for _, list := range lists {
			for _, name := range list {
				names = append(names, http.CanonicalHeaderKey(name))
			}
		}
		return names
	}
	return Member{request: &requestHeaders{
		Request: authenticator.WrapAudienceAgnosticRequest(audiences, verified),
		single:  canonical(headers.Username, headers.UID),
		names:   canonical(headers.Username),
	}}
}

// AuthenticateRequest implements authenticator.Request. Certificates of requests that name nobody are not this member's
// business: they need not be a proxy's.
func (h *requestHeaders) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	named := false
	for _, name := range h.names {
		named = named || r.Header.Get(name) != ""
	}
	if !named {
		return nil, false, nil
	}
	for _, name := range h.single {
		if len(r.Header[name]) > 1 {
			return nil, false, fmt.Errorf("the request has several headers %s", name)
		}
	}
	return h.Request.AuthenticateRequest(r)
}
