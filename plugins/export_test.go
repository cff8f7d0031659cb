package plugins

import (
	"time"

	"gatehouse/plugins/sandbox"
)

// Prune waits for nothing: it removes what a set's start leaves to the background.
func (s *Set) Prune() { s.pruneCache() }

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
