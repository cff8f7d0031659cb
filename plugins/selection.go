package plugins

import "slices"

// Selection says which plugins of a set take part at one place of a chain. The zero value means all.
type Selection struct {
	only   string
	except []string
}

// Named selects one plugin, which need not be there.
func Named(name string) Selection { return Selection{only: name} }

// AllBut selects every plugin that does not have one of the names.
func AllBut(names []string) Selection { return Selection{except: slices.Clone(names)} }

func (s Selection) has(name string) bool {
	if s.only != "" {
		return s.only == name
	}
	return len(s.except) == 0 || !slices.Contains(s.except, name)
}
