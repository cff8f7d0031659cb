package authn

import "github.com/prometheus/client_golang/prometheus"

// The results that are counted.
const (
	accepted  = "accepted"
	refused   = "refused"
	throttled = "throttled"
)

// counts tells how often each member let somebody in or refused to.
type counts struct{ attempts *prometheus.CounterVec }

func newCounts() counts {
	return counts{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_authentication_attempts_total",
		Help: "Requests, by the member of authentication that vouched for them or found their credentials wrong. Member none " +
			"counts the requests that were refused, whether for wrong credentials or for none.",
	}, []string{"member", "result"})}
}

func (c *counts) add(member, result string) { c.attempts.WithLabelValues(member, result).Inc() }

// Metrics counts what members decide.
func (c *Chain) Metrics() prometheus.Collector { return c.counts.attempts }
