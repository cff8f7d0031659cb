package plugins

import (
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

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

// allResults, allFaults and allStates are what metrics are told by; the place in them is the place of a counter.
func allResults() []result {
	return []result{allowedResult, deniedResult, noOpinionResult, failedResult, ignoredResult}
}

func allFaults() []sandbox.FaultKind {
	return []sandbox.FaultKind{sandbox.Rejected, sandbox.Trapped, sandbox.Overdue, sandbox.Misaddressed, sandbox.Oversized, sandbox.Garbled,
		sandbox.Refused, sandbox.Busy, Unevaluated, Barred}
}

func allStates() []State { return []State{Loading, Serving, Stale, Broken, Quarantined} }

const (
	roleCount   = 3
	resultCount = 5
	faultCount  = 10
)

// counts counts for one plugin, from its file's coming to its going. Its methods may be called from several goroutines.
type counts struct {
	roles [roleCount]roleCounts
	// loaded and refused are loads that ended; loadTime is how long the latest took, in nanoseconds.
	loaded, refused atomic.Uint64
	loadTime        atomic.Int64
}

// roleCounts counts for one role.
type roleCounts struct {
	results [resultCount]atomic.Uint64
	faults  [faultCount]atomic.Uint64
	latency latency
	// quarantines counts those that began.
	quarantines atomic.Uint64
}

// of is what is counted in a role.
func (c *counts) of(role sandbox.Role) *roleCounts { return &c.roles[place(allRoles(), role)] }

// place is the index of an item that is in the list; the last one stands for items that are not.
func place[T comparable](list []T, item T) int {
	for i := range list[:len(list)-1] {
		if list[i] == item {
			return i
		}
	}
	return len(list) - 1
}

func (c *counts) took(role sandbox.Role, time time.Duration) { c.of(role).latency.observe(time) }

func (c *counts) ended(role sandbox.Role, r result) {
	c.of(role).results[place(allResults(), r)].Add(1)
}

func (c *counts) failed(role sandbox.Role, kind sandbox.FaultKind) {
	c.of(role).faults[place(allFaults(), kind)].Add(1)
}

// load notes how a load ended, and how long it took.
func (c *counts) load(err error, took time.Duration) {
	c.loadTime.Store(int64(took))
	if err != nil {
		c.refused.Add(1)
	} else {
		c.loaded.Add(1)
	}
}

// metrics tells what is counted for the plugins of a set, those in the folder and no others.
type metrics struct{ set *Set }

// Metrics tells what each plugin does; a plugin that is removed is forgotten.
func (s *Set) Metrics() prometheus.Collector { return metrics{s} }

// described are the descriptions of all metrics.
type described struct {
	calls, duration, faults, state, instances, memory, loads, loadTime, quarantines *prometheus.Desc
}

func describe() described {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("gatehouse_plugin_"+name, help, append([]string{"plugin"}, labels...), nil)
	}
	return described{
		calls: describe("calls_total", "Calls of plugins, by role and result: allowed, denied (an authenticator: wrong credentials), no_opinion, "+
			"failed (the plugin could not decide and its failure policy did), ignored (the plugin could not decide and the request went on).",
			"role", "result"),
		duration:  describe("duration_seconds", "How long plugins took for a call, waiting for an instance included.", "role"),
		faults:    describe("faults_total", "Calls in which plugins failed, by role and by how.", "role", "kind"),
		state:     describe("state", "1 for the state that a plugin is in, 0 for the others.", "state"),
		instances: describe("instances", "Instances of a plugin that there are, busy and idle."),
		memory:    describe("memory_bytes", "Linear memory of a plugin's instances, which is not in Go's heap."),
		loads:     describe("loads_total", "Loads of a plugin's files, by result: serves or refused.", "result"),
		loadTime:  describe("load_seconds", "How long the latest load of a plugin's files took, nearly all of it compiling."),
		quarantines: describe("quarantines_total", "Quarantines that began, by role: a user's, an address's, or everybody's requests that a plugin was "+
			"not asked about for a while because it had failed too often.", "role"),
	}
}

// Describe implements prometheus.Collector.
func (m metrics) Describe(to chan<- *prometheus.Desc) {
	d := describe()
	for _, one := range []*prometheus.Desc{d.calls, d.duration, d.faults, d.state, d.instances, d.memory, d.loads, d.loadTime, d.quarantines} {
		to <- one
	}
}

// Collect implements prometheus.Collector. What has never happened is not told.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	d := describe()
	count := func(desc *prometheus.Desc, n uint64, labels ...string) {
		if n > 0 {
			to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
		}
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, p := range m.set.plugins() {
		name := p.name
		if !utf8.ValidString(name) { // it is no plugin's, but a file can have it; a label cannot
			name = strconv.Quote(name)
		}
		for i, role := range allRoles() {
			c := &p.counts.roles[i]
			for i, r := range allResults() {
				count(d.calls, c.results[i].Load(), name, string(role), string(r))
			}
			for i, kind := range allFaults() {
				count(d.faults, c.faults[i].Load(), name, string(role), string(kind))
			}
			count(d.quarantines, c.quarantines.Load(), name, string(role))
			if buckets, n, sum := c.latency.cumulative(); n > 0 {
				to <- prometheus.MustNewConstHistogram(d.duration, n, sum.Seconds(), buckets, name, string(role))
			}
		}
		status := p.status()
		for _, state := range allStates() {
			value := 0.0
			if state == status.State {
				value = 1
			}
			gauge(d.state, value, name, string(state))
		}
		gauge(d.instances, float64(status.Instances), name)
		gauge(d.memory, float64(status.Memory), name)
		count(d.loads, p.counts.loaded.Load(), name, "serves")
		count(d.loads, p.counts.refused.Load(), name, "refused")
		if took := p.counts.loadTime.Load(); took > 0 {
			gauge(d.loadTime, time.Duration(took).Seconds(), name)
		}
	}
}
