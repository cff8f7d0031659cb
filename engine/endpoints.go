package engine

import (
	"fmt"
	"net/http"

	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/server/routes"

	"gatehouse/engine/health"
)

// endpoints is what can be asked for, behind the gates: the API's objects, and what tells about them.
func (s *Server) endpoints(required []healthz.HealthChecker) http.Handler {
	mux := mux.NewPathRecorderMux("gatehouse")
	health.Install(mux, health.Checks{
		Live:     []healthz.HealthChecker{healthz.NamedCheck("storage", s.checkStorage)},
		Ready:    append([]healthz.HealthChecker{healthz.NewInformerSyncHealthz(s.parts.informers), s.parts.plugins}, required...),
		Draining: s.notReady,
	})
	s.parts.openapi.Install(mux)
	s.parts.discovery.Install(mux)
	routes.Index{}.Install(mux, mux)
	mux.NotFoundHandler(s.parts.api)
	return mux
}

// checkStorage asks the store for its revision: it answers as long as its writer and its files do.
func (s *Server) checkStorage(r *http.Request) error {
	if _, err := s.parts.store.Revision(r.Context()); err != nil {
		return fmt.Errorf("ask the store for its revision: %w", err)
	}
	return nil
}
