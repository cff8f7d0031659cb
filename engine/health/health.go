// Package health answers /healthz, /livez and /readyz as upstream does, ?verbose and ?exclude included.
package health

import (
	"net/http"

	"k8s.io/apiserver/pkg/server/healthz"
)

// Paths lie open to everyone: probes have no credentials.
func Paths() []string { return []string{"/healthz", "/livez", "/readyz"} }

// Checks are asked at each request. A server that is not ready may still be alive: what passes with time belongs in Ready.
type Checks struct {
	// Live are asked by all three paths.
	Live []healthz.HealthChecker
	// Ready are asked by /readyz, and but for Draining by /healthz.
	Ready []healthz.HealthChecker
	// Draining is closed when the server takes no new work.
	Draining <-chan struct{}
}

// Mux is where the paths are registered.
type Mux interface {
	Handle(path string, handler http.Handler)
}

// Install registers the three paths, and one below each for every check.
func Install(mux Mux, checks Checks) {
	live := append([]healthz.HealthChecker{healthz.PingHealthz, healthz.LogHealthz}, checks.Live...)
	started := append(live[:len(live):len(live)], checks.Ready...)
	healthz.InstallHandler(mux, started...)
	healthz.InstallLivezHandler(mux, live...)
	healthz.InstallReadyzHandler(mux, append(started[:len(started):len(started)], healthz.NewShutdownHealthz(checks.Draining))...)
}
