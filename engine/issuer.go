package engine

import (
	"fmt"
	"net/http"

	"github.com/emicklei/go-restful/v3"
	"k8s.io/kubernetes/pkg/routes"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// issuerPaths are where relying parties find out how to verify service account tokens.
func issuerPaths() []string {
	return []string{serviceaccount.OpenIDConfigPath, serviceaccount.JWKSPath}
}

// newIssuerDocuments answers at issuerPaths, with upstream's own routes. address is where the keys can be had.
func newIssuerDocuments(issuer, address string, keys serviceaccount.PublicKeysGetter) (http.Handler, error) {
	provider, err := serviceaccount.NewOpenIDMetadataProvider(issuer, "", address, keys)
	if err != nil {
		return nil, fmt.Errorf("describe the service account issuer %s: %w: set serviceAccounts.issuer to an https URL", issuer, err)
	}
	container := restful.NewContainer()
	routes.NewOpenIDMetadataServer(provider).Install(container)
	return container, nil
}
