package cluster

import (
	"regexp"
	"strings"
	"testing"

	"gatehouse/tests/harness"
)

// complaints tell in a component's log that the server did not do for it what kube-apiserver does.
func complaints() *regexp.Regexp {
	return regexp.MustCompile(strings.Join([]string{
		`(?i)forbidden|unauthorized|certificate signed by unknown|missing content for CA bundle`,
		`(?i)failed to (watch|list)|unable to (watch|list)|error on the server|internal error|unexpected`,
		`(?i)decod|unmarshal|no kind .* is registered|unknown field|conversion`,
		`(?i)could not find the requested resource|no matches for kind|failed to discover|group discovery`,
		`(?i)invalid value|required value|is invalid:|panic`,
	}, "|"))
}

// excused are complaints that a cluster with kube-apiserver makes as well.
func excused() *regexp.Regexp {
	return regexp.MustCompile(strings.Join([]string{
		`get pods\.metrics\.k8s\.io`, // nobody serves metrics, which the autoscaler says
		`node CIDR`,                  // a second range for a node, by a controller that has not seen yet that its first was accepted
	}, "|"))
}

// logs has a look at what everybody printed.
func logs(t *testing.T, c *cluster) {
	components := map[string]*harness.Program{
		"kube-controller-manager": c.managers[0], "the second kube-controller-manager": c.managers[1], "kube-scheduler": c.scheduler,
		"kwok": c.fleet, "the straggler's kwok": c.straggler,
	}
	c.alive(t)
	bad, fine := complaints(), excused()
	for name, program := range components {
		for line := range strings.Lines(program.Log().String()) {
			if bad.MatchString(line) && !fine.MatchString(line) {
				t.Errorf("%s complains: %s", name, line)
			}
		}
	}
	// Credentials are refused as the tests want some to be, and leases are not renewed in time on a busy machine.
	fine = regexp.MustCompile(`Unable to authenticate the request|post-timeout activity`)
	for line := range strings.Lines(c.server.Process().Log().String()) {
		severe := strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, `"level":"WARN"`)
		if severe && !fine.MatchString(line) {
			t.Errorf("the server complains: %s", line)
		}
	}
}
