package engine

import (
	"crypto/x509"

	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/util/cert"
	"k8s.io/kubernetes/pkg/controlplane/controller/clusterauthenticationtrust"

	"gatehouse/engine/authn"
	"gatehouse/engine/pki"
)

// trust is what other servers are told of how clients of this one authenticate. Proxies are those that the configuration names,
// if there are any, and this server itself.
func (s *Server) trust() clusterauthenticationtrust.ClusterAuthenticationInfo {
	ids, settings := &s.parts.identities, s.config.Authentication.RequestHeader
	names := settings.AllowedNames
	if len(settings.CAFiles) == 0 || len(names) > 0 { // else every name is good
		names = append([]string{pki.FrontProxyName}, names...)
	}
	return clusterauthenticationtrust.ClusterAuthenticationInfo{
		ClientCA:                         authorityContent{"client-ca", ids.clients},
		RequestHeaderCA:                  authorityContent{"request-header-ca", ids.frontProxies},
		RequestHeaderAllowedNames:        headerrequest.StaticStringSlice(names),
		RequestHeaderUsernameHeaders:     headerrequest.StaticStringSlice(settings.UsernameHeaders),
		RequestHeaderUIDHeaders:          headerrequest.StaticStringSlice(settings.UIDHeaders),
		RequestHeaderGroupHeaders:        headerrequest.StaticStringSlice(settings.GroupHeaders),
		RequestHeaderExtraHeaderPrefixes: headerrequest.StaticStringSlice(settings.ExtraHeaderPrefixes),
	}
}

// authorityContent is authorities as upstream's controllers take them.
type authorityContent struct {
	name        string
	authorities *authn.Authorities
}

var _ dynamiccertificates.CAContentProvider = authorityContent{}

// Name implements dynamiccertificates.CAContentProvider.
func (c authorityContent) Name() string { return c.name }

// CurrentCABundleContent implements dynamiccertificates.CAContentProvider.
func (c authorityContent) CurrentCABundleContent() []byte {
	content, err := cert.EncodeCertificates(c.authorities.All()...)
	if err != nil {
		return nil // it fails only for lack of memory
	}
	return content
}

// VerifyOptions implements dynamiccertificates.CAContentProvider.
func (c authorityContent) VerifyOptions() (x509.VerifyOptions, bool) {
	return x509.VerifyOptions{Roots: c.authorities.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, true
}

// AddListener implements dynamiccertificates.CAContentProvider. Nobody is called: who publishes the content looks at it once a
// minute anyway, and a new authority is trusted here from the start, wherever else it is known later.
func (c authorityContent) AddListener(dynamiccertificates.Listener) {}
