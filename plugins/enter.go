package plugins

import (
	"fmt"
	"log/slog"
	"time"

	"gatehouse/plugins/sandbox"
)

// enter decides whether the plugin is asked about a request that comes from there, and not kept in quarantine: then the fault is nil,
// and leave must be called once the call has been counted.
func (c *call) enter(from func() origin) *sandbox.Fault {
	c.from = from
	if c.state.conducts == nil {
		return nil
	}
	c.conduct = c.state.conducts.of(c.role)
	if !c.conduct.watched.Load() {
		return nil
	}
	var barred *Quarantine
	if c.test, barred = c.conduct.enter(from(), c.role, c.set.now()); barred != nil {
		return barred.fault()
	}
	return nil
}

// leave is the end of a call.
func (c *call) leave() {
	if c.test != nil {
		c.conduct.leave(c.test)
		c.test = nil
	}
}

// fault is what a request meets that the plugin is not asked about. Why it failed others is not for everybody to know.
func (q *Quarantine) fault() *sandbox.Fault {
	about, last := "", string(q.Last.Kind)
	if q.About != "" {
		about, last = " about requests of "+q.About, last+": "+q.Last.Cause
	}
	return &sandbox.Fault{Kind: Barred, Cause: fmt.Sprintf("it is quarantined since %s and not asked%s until %s, because it failed %d times in a row (%s)",
		q.Since.UTC().Format(time.RFC3339), about, q.Until.UTC().Format(time.RFC3339), q.Failures, last)}
}

// answered notes that the plugin has decided.
func (c *call) answered() {
	if c.conduct == nil || !c.conduct.watched.Load() {
		return
	}
	ended := c.conduct.answered(c.from(), c.role)
	c.test = nil
	for _, ended := range ended {
		c.set.released(c.plugin, ended, "it has decided again")
	}
}

// blamed notes that it could not, by its own fault.
func (c *call) blamed(failure Failure) {
	if c.conduct == nil || failure.Kind == sandbox.Busy {
		return
	}
	begun := c.conduct.failed(c.from(), failure, c.test)
	c.test = nil
	for _, begun := range begun {
		c.plugin.counts.of(c.role).quarantines.Add(1)
		c.set.options.Logger.Error("plugin is quarantined: mend it, or change one of its files to have it asked at once", append(begun.attrs(c.plugin),
			"until", begun.Until.UTC().Format(time.RFC3339), "failures", begun.Failures, "fault", begun.Last.Kind, "cause", begun.Last.Cause)...)
		c.set.announce()
	}
}

// released tells that a quarantine has ended.
func (s *Set) released(p *plugin, ended *Quarantine, why string) {
	s.options.Logger.Info("plugin is quarantined no more", append(ended.attrs(p), "since", ended.Since.UTC().Format(time.RFC3339), "why", why)...)
	s.announce()
}

func (q *Quarantine) attrs(p *plugin) []any {
	about := q.About
	if about == "" {
		about = "everybody"
	}
	return []any{slog.String("plugin", p.name), slog.String("revision", q.Last.Revision), slog.Any("role", q.Role), slog.String("about", about)}
}

// forgive ends the quarantines that nobody has tested for long.
func (s *Set) forgive(now time.Time) {
	for _, p := range s.plugins() {
		conducts := p.state.Load().conducts
		if conducts == nil {
			continue
		}
		for _, role := range allRoles() {
			if one := conducts.of(role); one.watched.Load() {
				for _, ended := range one.tidy(role, now) {
					s.released(p, ended, "nothing was asked of it for long")
				}
			}
		}
	}
}
