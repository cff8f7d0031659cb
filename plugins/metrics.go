package plugins

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/plugins/sandbox"
)

// result is how a call of a plugin ended, as metrics call it.
type result string

const (
	allowedResult   result = "allowed"
	deniedResult    result = "denied"
	noOpinionResult result = "no_opinion"
	// failedResult: the plugin failed, and its failure policy stood in for its verdict.
	failedResult result = "failed"
	// ignoredResult: the plugin failed, and the request went on without it.
	ignoredResult result = "ignored"
)

// metrics counts for all plugins of a set, those in the folder and no others.
type metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics() *metrics {
	return &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_plugin_calls_total",
			Help: "Calls of plugins, by role and result: allowed, denied (an authenticator: wrong credentials), no_opinion, failed (the " +
				"plugin could not decide and its failure policy did), ignored (the plugin could not decide and the request went on).",
		}, []string{"plugin", "role", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gatehouse_plugin_duration_seconds",
			Help:    "How long plugins took for a call, waiting for an instance included.",
			Buckets: []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .01, .05, .2, 1, 5},
		}, []string{"plugin", "role"}),
	}
}

// Metrics counts what each plugin does; a plugin that is removed is forgotten.
func (s *Set) Metrics() prometheus.Collector { return s.metrics }

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	m.calls.Describe(to)
	m.duration.Describe(to)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.calls.Collect(to)
	m.duration.Collect(to)
}

// of counts for the plugin called name.
func (m *metrics) of(name string) *counts { return &counts{metrics: m, name: name} }

// counts counts for one plugin, from its file's coming to its going.
type counts struct {
	metrics *metrics
	name    string
	// gone is set once the plugin has been removed: requests that end later do not bring its name back.
	gone atomic.Bool
}

func (c *counts) took(role sandbox.Role, time time.Duration) {
	if !c.gone.Load() {
		c.metrics.duration.WithLabelValues(c.name, string(role)).Observe(time.Seconds())
	}
}

func (c *counts) ended(role sandbox.Role, r result) {
	if !c.gone.Load() {
		c.metrics.calls.WithLabelValues(c.name, string(role), string(r)).Inc()
	}
}

// forget drops what was counted.
func (c *counts) forget() {
	c.gone.Store(true)
	mine := prometheus.Labels{"plugin": c.name}
	c.metrics.calls.DeletePartialMatch(mine)
	c.metrics.duration.DeletePartialMatch(mine)
}
