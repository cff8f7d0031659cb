package engine

import (
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/engine/authz"
)

// decisionMetrics tells what the members of the second gate have decided. It counts nothing itself.
type decisionMetrics struct{ chain *authz.Chain }

// Describe implements prometheus.Collector.
func (m decisionMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector. The name, labels and values of decisions are kube-apiserver's, which does not tell
// how often a member had nothing to say, nor anything of those that ask before all others.
func (m decisionMetrics) Collect(to chan<- prometheus.Metric) {
	decisions := prometheus.NewDesc("apiserver_authorization_decisions_total",
		"Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
		[]string{"type", "name", "decision"}, nil)
	passedOn := prometheus.NewDesc("gatehouse_authorization_passed_on_total",
		"How often a member of the second gate neither allowed nor denied a request, so that the next one was asked.",
		[]string{"type", "name"}, nil)
	for _, t := range m.chain.Tallies() {
		tell := func(desc *prometheus.Desc, count int64, labels ...string) {
			to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(count), append([]string{t.Type, t.Name}, labels...)...)
		}
		tell(decisions, t.Allowed, "allowed")
		tell(decisions, t.Denied, "denied")
		tell(passedOn, t.PassedOn)
	}
}
