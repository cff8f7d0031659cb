package authz

import (
	"sync"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Tally is what a member of the chain has said since the server was started.
type Tally struct {
	// Type is the member's as an AuthorizationConfiguration spells it, Name what it is called there.
	Type, Name string
	// Allowed and Denied are its decisions, PassedOn is how often it had none.
	Allowed, Denied, PassedOn int64
}

// Tallies tells what each member has said, those that a changed configuration has left out included.
func (c *Chain) Tallies() []Tally { return c.tallies.all() }

// tally counts for one member.
type tally struct {
	kind, name                string
	allowed, denied, passedOn atomic.Int64
}

func (t *tally) count(decision authorizer.Decision) {
	switch decision {
	case authorizer.DecisionAllow:
		t.allowed.Add(1)
	case authorizer.DecisionNoOpinion:
		t.passedOn.Add(1)
	default:
		t.denied.Add(1)
	}
}

// tallies outlive the members that they count for.
type tallies struct {
	mu   sync.Mutex // guards list
	list []*tally
}

// of is the tally of a member, which may have been there before.
func (t *tallies) of(kind, name string) *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range t.list {
		if known.kind == kind && known.name == name {
			return known
		}
	}
	made := &tally{kind: kind, name: name}
	t.list = append(t.list, made)
	return made
}

func (t *tallies) all() []Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := make([]Tally, len(t.list))
	for i, one := range t.list {
		told[i] = Tally{
			Type: one.kind, Name: one.name,
			Allowed: one.allowed.Load(), Denied: one.denied.Load(), PassedOn: one.passedOn.Load(),
		}
	}
	return told
}
