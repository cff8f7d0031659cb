package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// bound is a binding of either kind.
type bound interface {
	*rbacv1.RoleBinding | *rbacv1.ClusterRoleBinding
	GetName() string
	GetNamespace() string
}

func subjects[B bound](binding B) []rbacv1.Subject {
	switch b := any(binding).(type) {
	case *rbacv1.RoleBinding:
		return b.Subjects
	case *rbacv1.ClusterRoleBinding:
		return b.Subjects
	}
	return nil
}

// index finds the bindings of one scope, a namespace or the cluster, by who is bound. It does not change after it was made.
type index[B bound] struct {
	all    []B // in the order of their names
	users  postings
	groups postings
}

// postings are the positions in index.all of the bindings that name a user or a group, in ascending order.
type postings map[string][]int32

func (p postings) add(name string, position int32) {
	known := p[name]
	if len(known) > 0 && known[len(known)-1] == position {
		return
	}
	p[name] = append(known, position)
}

// newIndex takes over a list of bindings of one scope, in any order. The index that there was before it, which can be nil, is
// returned if it is of the same.
func newIndex[B bound](all []B, before *index[B]) *index[B] {
	// Upstream evaluates in an order that chance decides. An order of ours makes reasons the same each time.
	slices.SortFunc(all, func(a, b B) int { return strings.Compare(a.GetName(), b.GetName()) })
	if before != nil && slices.Equal(all, before.all) {
		return before
	}
	i := &index[B]{all: all, users: postings{}, groups: postings{}}
	for position, binding := range all {
		for _, subject := range subjects(binding) {
			i.post(subject, binding.GetNamespace(), int32(position))
		}
	}
	return i
}

// post files a binding under one of its subjects, by the rules by which upstream finds that a subject is meant. Subjects of a
// kind that upstream does not know match nobody.
func (i *index[B]) post(subject rbacv1.Subject, namespace string, position int32) {
	switch subject.Kind {
	case rbacv1.UserKind:
		i.users.add(subject.Name, position)
	case rbacv1.GroupKind:
		i.groups.add(subject.Name, position)
	case rbacv1.ServiceAccountKind:
		if subject.Namespace != "" {
			namespace = subject.Namespace
		}
		if namespace != "" {
			i.users.add(serviceaccount.MakeUsername(namespace, subject.Name), position)
		}
	}
}

// of is the bindings that concern a user or one of their groups, each once, in the index's order.
func (i *index[B]) of(u user.Info) []B {
	if u == nil {
		return nil
	}
	var room [32]int32 // enough for most, and no garbage
	positions := append(room[:0], i.users[u.GetName()]...)
	for _, group := range u.GetGroups() {
		positions = append(positions, i.groups[group]...)
	}
	if len(positions) == 0 {
		return nil
	}
	slices.Sort(positions)
	positions = slices.Compact(positions)
	bindings := make([]B, len(positions))
	for at, position := range positions {
		bindings[at] = i.all[position]
	}
	return bindings
}
