package plugins

import (
	"time"

	"gatehouse/plugins/sandbox"
)

// State says in a word how a plugin is.
type State string

const (
	// Loading: the first load is under way; requests that concern the plugin wait.
	Loading State = "Loading"
	// Serving: the newest files serve.
	Serving State = "Serving"
	// Stale: the newest files are broken, the last good revision serves.
	Stale State = "Stale"
	// Broken: nothing serves; requests that concern the plugin are denied unless its failurePolicy is Ignore.
	Broken State = "Broken"
	// Quarantined: a revision serves, but has failed so often that it is not asked about some or all of what concerns it for a while;
	// Status.Quarantines says about what. Whether the newest files are broken, as when Stale, is to be told by Status.Fault.
	Quarantined State = "Quarantined"
)

// Status is what can be told about a plugin.
type Status struct {
	Name        string
	Description string
	// Born is when the plugin came into the folder.
	Born  time.Time
	State State
	// StateSince is when the plugin came into that state.
	StateSince time.Time
	// Revision identifies the content of the files that serve; empty when none do.
	Revision string
	// Since is when that revision began to serve.
	Since time.Time
	// Newest is the revision of the files that were read last, whether they serve or not; empty when none could be read.
	Newest string
	// Roles are those in which the serving revision is asked.
	Roles []sandbox.Role
	// Fault is why the newest files do not serve; nil when they do.
	Fault error
	// Quarantines are what the serving revision is not asked about for now, those about everybody's requests first and at most ten of
	// the others; none unless it is Quarantined.
	Quarantines []Quarantine
	// Failures are the last calls that it could not decide, the newest first, at most ten. They are not those of the serving revision
	// alone.
	Failures []Failure
	// ABI is how the host speaks with the module, Language what its compilers say of it; empty for what cannot be told.
	ABI, Language string
	// Limits are those of each instance; zero when nothing serves.
	Limits sandbox.Limits
	// Usage is what the serving revision takes.
	sandbox.Usage
	// Calls is what became of the plugin's calls in each role that it was called in, since it came into the folder.
	Calls []Calls
	// Wants are capabilities that the module's author would like and the configuration does not grant, each by the key that would, such as
	// `authz.canI`. They are the author's words, without control characters.
	Wants []string
	// Configuration is the plugin's YAML in JSON, with all that it leaves to the module's author and to the server but its limits, and
	// without what may be secret: of settings there are SettingNames, those at the top. Neither must be changed.
	Configuration []byte
	SettingNames  []string
}

// Quarantine says that a plugin has failed too often in a row to be asked. Its failurePolicy answers at once in its stead.
type Quarantine struct {
	// Role is the one in which it is not asked.
	Role sandbox.Role
	// About says whose requests it is not asked about, such as `user "jane" in namespace "default"`; empty means everybody's.
	About string
	// Since is when it began. Once Until has passed the next request is put to the plugin, and ends the quarantine if that does not fail.
	Since, Until time.Time
	// Failures counts those that led to it and those since; Last is the newest of them.
	Failures int
	Last     Failure
}

// Calls is what became of calls in one role.
type Calls struct {
	Role sandbox.Role
	// Allowed, Denied and NoOpinion count verdicts. Failed are calls in which the plugin could not decide and its failure policy did,
	// Ignored those in which the request went on without it.
	Allowed, Denied, NoOpinion, Failed, Ignored uint64
	// P50 and P99 are times that half and 99 of 100 calls did not take longer than, waiting for an instance included. They are at most
	// an eighth too long.
	P50, P99 time.Duration
}

// Total is how many calls there were.
func (c Calls) Total() uint64 { return c.Allowed + c.Denied + c.NoOpinion + c.Errors() }

// Errors is in how many calls the plugin could not decide.
func (c Calls) Errors() uint64 { return c.Failed + c.Ignored }

func (p *plugin) status() Status {
	s := p.state.Load()
	status := Status{
		Name: p.name, Description: s.manifest.Description, Born: p.born, State: s.word(), StateSince: s.changed,
		Revision: s.revision, Since: s.since, Newest: s.newest, Fault: s.fault,
		ABI: s.nature.abi, Language: s.nature.language,
		Calls: p.counts.calls(), Failures: p.failures.list(), Wants: s.ungranted, Configuration: s.manifest.shown, SettingNames: s.manifest.settingNames,
	}
	if status.Quarantines = s.conducts.quarantines(); len(status.Quarantines) > 0 {
		status.State, status.StateSince = Quarantined, status.Quarantines[0].Since
	}
	if s.module != nil {
		status.Roles = s.roles.list()
		status.Limits, status.Usage = s.module.Limits(), s.module.Usage()
	}
	return status
}

// word is the state in a word.
func (s *state) word() State {
	switch {
	case s.pending():
		return Loading
	case s.module == nil:
		return Broken
	case s.fault != nil:
		return Stale
	}
	return Serving
}

// calls tells what was counted in each role that the plugin was called in.
func (c *counts) calls() []Calls {
	var all []Calls
	for i, role := range allRoles() {
		counted := &c.roles[i]
		n := func(r result) uint64 { return counted.results[place(allResults(), r)].Load() }
		one := Calls{Role: role, Allowed: n(allowedResult), Denied: n(deniedResult), NoOpinion: n(noOpinionResult),
			Failed: n(failedResult), Ignored: n(ignoredResult),
			P50: counted.latency.quantile(0.5), P99: counted.latency.quantile(0.99)}
		if one.Total() > 0 {
			all = append(all, one)
		}
	}
	return all
}
