package engine

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	upstream "k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/server/routes"

	"gatehouse/engine/api"
	"gatehouse/engine/api/discovery"
	"gatehouse/engine/controllers"
	"gatehouse/engine/health"
	"gatehouse/engine/version"
)

// documents tell about the API. Each knows by itself which paths are its own.
type documents interface {
	http.Handler
	Handles(path string) bool
}

// newEndpoints is what can be asked for, behind the gates: health, documents about the API, and the API's objects.
func (s *Server) newEndpoints(port int, loops *controllers.Loops) (http.Handler, error) {
	addresses, err := s.discoveryAddresses(port)
	if err != nil {
		return nil, err
	}
	resources, err := discovery.New(addresses, s.parts.api.Versions())
	if err != nil {
		return nil, fmt.Errorf("set up discovery: %w", err)
	}
	paths := mux.NewPathRecorderMux("gatehouse")
	health.Install(paths, health.Checks{
		Live: []healthz.HealthChecker{healthz.NamedCheck("storage", s.checkStorage)},
		Ready: []healthz.HealthChecker{
			healthz.NamedCheck("informer-sync", s.checkInformed),
			healthz.NamedCheck("cluster-ips", s.parts.catalog.CheckClusterIPs),
			healthz.NamedCheck("system-namespaces", loops.CheckNamespaces),
			healthz.NamedCheck("bootstrap-roles", loops.CheckRoles),
			healthz.NamedCheck("plugins", func(*http.Request) error { return s.parts.plugins.Ready() }),
		},
		Draining: s.notReady,
	})
	counted, err := newMetrics(&s.parts.reads, s.parts.cache, s.parts.authenticator, s.parts.authorizer, s.parts.plugins)
	if err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	paths.Handle("/metrics", counted)
	info := discovery.Version(version.Info())
	paths.Handle("/version", info)
	paths.HandlePrefix("/version/", onlyItself(info, http.HandlerFunc(api.NotFound)))
	issuer, err := newIssuerDocuments(s.config.ServiceAccounts.Issuer, s.address(port), s.parts.identities.keys)
	if err != nil {
		return nil, err
	}
	for _, path := range issuerPaths() {
		paths.Handle(path, issuer)
		paths.UnlistedHandle(path+"/", issuer)
	}
	routes.Index{}.Install(listedPaths{paths, resources}, paths)
	paths.NotFoundHandler(firstOf(s.parts.api, resources, s.parts.openapi))
	return paths, nil
}

// onlyItself answers at a path that ends in a slash, and with otherwise at those below it.
func onlyItself(itself, otherwise http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			itself.ServeHTTP(w, r)
			return
		}
		otherwise.ServeHTTP(w, r)
	})
}

// firstOf answers with the first of the documents whose path it is, and with otherwise if it is none's.
func firstOf(otherwise http.Handler, all ...documents) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, one := range all {
			if one.Handles(r.URL.Path) {
				one.ServeHTTP(w, r)
				return
			}
		}
		otherwise.ServeHTTP(w, r)
	})
}

// address is where others reach a server that listens on port.
func (s *Server) address(port int) string {
	return net.JoinHostPort(s.config.AdvertiseAddress.String(), strconv.Itoa(port))
}

// discoveryAddresses tell clients in the service network to come by the kubernetes Service, and others by our own address.
func (s *Server) discoveryAddresses(port int) (upstream.Addresses, error) {
	serviceIP, err := s.serviceIP()
	if err != nil {
		return nil, err
	}
	network, _ := s.serviceCIDRs()
	return upstream.DefaultAddresses{
		DefaultAddress: s.address(port),
		CIDRRules: []upstream.CIDRRule{{
			IPRange: network,
			Address: net.JoinHostPort(serviceIP.String(), strconv.Itoa(kubernetesServicePort)),
		}},
	}, nil
}

// checkStorage fails when the store has lost the use of its file; it stays so until the server is started anew.
func (s *Server) checkStorage(*http.Request) error {
	return s.parts.store.Healthy()
}

// listedPaths is the index at /.
type listedPaths struct {
	mux       *mux.PathRecorderMux
	resources *discovery.Handler
}

// ListedPaths implements routes.ListedPathProvider.
func (l listedPaths) ListedPaths() []string {
	paths := append(l.mux.ListedPaths(), l.resources.Paths()...)
	paths = append(paths, "/openapi/v2", "/openapi/v3")
	slices.Sort(paths)
	return paths
}
