package plugins

import (
	"time"

	"gatehouse/plugins/sandbox"
)

// Prune waits for nothing: it removes what a set's start leaves to the background.
func (s *Set) Prune() { s.compiled.prune() }

// Trim drops idle instances as the passing of time does.
func (s *Set) Trim(t time.Time) { s.trim(t) }

// Modules are those that serve, to see what becomes of them.
func (s *Set) Modules() []*sandbox.Module {
	var all []*sandbox.Module
	for _, p := range s.plugins() {
		if m := p.state.Load().module; m != nil {
			all = append(all, m)
		}
	}
	return all
}

// Retry tries failed loads again as the passing of time does. It must not be called while the folder changes.
func (s *Set) Retry(now time.Time) { s.retry(now) }

// PendingPlugin is a plugin whose first load never ends.
type PendingPlugin struct{ p *plugin }

// Pending makes a plugin that is being loaded the only one. It must not be called while the folder changes.
func (s *Set) Pending(name string) PendingPlugin {
	p := newPlugin(&s.options, name)
	s.reshuffle([]*plugin{p})
	return PendingPlugin{p}
}

// Remove is the removal of its file.
func (p PendingPlugin) Remove() { p.p.remove() }

// SetClock sets the clock by which quarantines go. It must not be called while requests are under way.
func (s *Set) SetClock(now func() time.Time) { s.now = now }
