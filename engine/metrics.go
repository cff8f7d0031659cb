package engine

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/component-base/metrics/legacyregistry"

	"gatehouse/engine/api/read"
	"gatehouse/engine/authn"
	"gatehouse/engine/authz"
	"gatehouse/engine/objects/cache"
	"gatehouse/plugins"
)

// newMetrics serves what upstream's parts count, for all servers of the process together, and what this server counts.
func newMetrics(reads *read.Counts, cache *cache.Cache, identities *authn.Chain, decisions *authz.Chain,
	plugins *plugins.Set) (http.Handler, error) {
	own := prometheus.NewRegistry()
	for _, collector := range []prometheus.Collector{readMetrics{reads, cache}, identities.Metrics(), decisionMetrics{decisions}, plugins.Metrics()} {
		if err := own.Register(collector); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(prometheus.Gatherers{legacyregistry.DefaultGatherer, own}, promhttp.HandlerOpts{}), nil
}

// readMetrics tells how reads are answered. It counts nothing itself.
type readMetrics struct {
	reads *read.Counts
	cache *cache.Cache
}

// Describe implements prometheus.Collector.
func (m readMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector.
func (m readMetrics) Collect(to chan<- prometheus.Metric) {
	tell := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		names, values := []string{}, []string{}
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
	}
	const reads, readsHelp = "gatehouse_reads_total",
		"GETs, LISTs and WATCHes of objects, by who answered them: the cache, or upstream's handler for a reason."
	tell(prometheus.CounterValue, reads, readsHelp, float64(m.reads.Answered()), "answered_by", "cache", "reason", "")
	for reason, count := range m.reads.LeftToUpstream() {
		tell(prometheus.CounterValue, reads, readsHelp, float64(count), "answered_by", "upstream", "reason", string(reason))
	}
	stats := m.cache.Stats()
	for prefix, held := range stats.Collections {
		tell(prometheus.GaugeValue, "gatehouse_cache_objects", "Objects in the cache, by the prefix of their keys.",
			float64(held.Entries), "prefix", prefix)
		tell(prometheus.GaugeValue, "gatehouse_cache_watchers", "Open watches, by the prefix of what they watch.",
			float64(held.Watchers), "prefix", prefix)
	}
	tell(prometheus.GaugeValue, "gatehouse_cache_slab_bytes",
		"Memory for encoded objects, which is not in Go's heap and not in its metrics.", float64(stats.SlabBytes))
	tell(prometheus.GaugeValue, "gatehouse_cache_slab_used_bytes", "What of that is in use.", float64(stats.UsedBytes))
	tell(prometheus.GaugeValue, "gatehouse_cache_form_bytes", "What encoded forms take that could be made anew.", float64(stats.FormBytes))
	tell(prometheus.CounterValue, "gatehouse_slow_watchers_total", "Watches cut off because they did not take their events.",
		float64(stats.SlowWatchers))
}
