package rbac

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// chance makes policies and requests out of so few names that they often meet.
type chance struct{ *rand.Rand }

func pick[T any](c chance, from ...T) T { return from[c.IntN(len(from))] }

// some is up to most of what make makes, seldom nothing.
func some[T any](c chance, most int, make func() T) []T {
	var list []T
	if c.IntN(8) > 0 {
		list = append(list, make())
	}
	for range c.IntN(most) {
		list = append(list, make())
	}
	return list
}

func (c chance) namespace() string { return pick(c, "a", "b", "c", "a:b") }
func (c chance) verb() string      { return pick(c, "get", "list", "create", "*") }
func (c chance) group() string     { return pick(c, "", "", "apps", "*") }
func (c chance) resource() string {
	return pick(c, "pods", "secrets", "pods/log", "*/scale", "*", "*", "deployments/scale")
}
func (c chance) url() string { return pick(c, "/healthz", "/healthz/*", "*", "/version", "/api*") }

func (c chance) username() string {
	return pick(c, "jane", "joe", "", "system:serviceaccount:a:robot", "system:serviceaccount:b:robot", "system:serviceaccount:a:b:robot",
		"system:serviceaccount::robot", "system:serviceaccount:a:")
}
func (c chance) groupname() string {
	return pick(c, "readers", "writers", "system:authenticated", "system:serviceaccounts:a", "jane")
}

func (c chance) rule() rbacv1.PolicyRule {
	if c.IntN(4) == 0 {
		return rbacv1.PolicyRule{Verbs: some(c, 3, c.verb), NonResourceURLs: some(c, 3, c.url)}
	}
	return rbacv1.PolicyRule{
		Verbs: some(c, 3, c.verb), APIGroups: some(c, 3, c.group), Resources: some(c, 3, c.resource),
		ResourceNames: pick(c, nil, nil, []string{"x"}, []string{"x", "y"}),
	}
}

func (c chance) subject() rbacv1.Subject {
	switch c.IntN(8) {
	case 0, 1:
		return rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: c.groupname()}
	case 2, 3:
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: pick(c, "", "a", "b", "a:b"), Name: pick(c, "robot", "b:robot", "")}
	case 4:
		return rbacv1.Subject{Kind: pick(c, "", "user", "Everybody"), Name: c.username()}
	default:
		return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: c.username()}
	}
}

// roleRef often leads nowhere.
func (c chance) roleRef() rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: pick(c, "Role", "ClusterRole", "ClusterRole", "Rule"), Name: fmt.Sprint("role-", c.IntN(8))}
}

// change makes, replaces or deletes one object.
func (c chance) change(t *testing.T, p *policy) {
	named := func(prefix string, most int) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: fmt.Sprint(prefix, c.IntN(most))}
	}
	namespaced := func(prefix string, most int) metav1.ObjectMeta {
		meta := named(prefix, most)
		meta.Namespace = c.namespace()
		return meta
	}
	var of *kind
	var object metav1.Object
	switch c.IntN(6) {
	case 0:
		of, object = p.roles, &rbacv1.Role{ObjectMeta: namespaced("role-", 6), Rules: some(c, 3, c.rule)}
	case 1:
		of, object = p.clusterRoles, &rbacv1.ClusterRole{ObjectMeta: named("role-", 6), Rules: some(c, 3, c.rule)}
	case 2, 3:
		of, object = p.bindings, &rbacv1.RoleBinding{ObjectMeta: namespaced("binding-", 5), Subjects: some(c, 3, c.subject), RoleRef: c.roleRef()}
	default:
		of, object = p.clusterBindings, &rbacv1.ClusterRoleBinding{ObjectMeta: named("binding-", 12), Subjects: some(c, 3, c.subject), RoleRef: c.roleRef()}
	}
	if c.IntN(4) == 0 {
		of.delete(t, object)
		return
	}
	of.put(t, object)
}

func (c chance) user() user.Info {
	return &user.DefaultInfo{Name: c.username(), Groups: some(c, 3, c.groupname)}
}

func (c chance) request() authorizer.AttributesRecord {
	if c.IntN(5) == 0 {
		return authorizer.AttributesRecord{User: c.user(), Verb: c.verb(), Path: pick(c, "/healthz", "/healthz/ping", "/version", "/apis")}
	}
	return authorizer.AttributesRecord{
		User: c.user(), ResourceRequest: true, Verb: c.verb(), Namespace: pick(c, "", "a", "b", "c", "a:b", "nowhere"), APIGroup: c.group(),
		Resource: pick(c, "pods", "secrets", "deployments"), Subresource: pick(c, "", "", "log", "scale"), Name: pick(c, "", "x", "y", "z"),
	}
}

// answer is all that an authorizer says of a request.
type answer struct {
	Decision authorizer.Decision
	Reason   string
	Err      string

	Rules     []authorizer.ResourceRuleInfo
	NonRules  []authorizer.NonResourceRuleInfo
	Partially bool
	RulesErr  string
}

func ask(t *testing.T, a interface {
	authorizer.Authorizer
	authorizer.RuleResolver
}, request authorizer.AttributesRecord) answer {
	t.Helper()
	said := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	var got answer
	var err error
	got.Decision, got.Reason, err = a.Authorize(t.Context(), request)
	got.Err = said(err)
	got.Rules, got.NonRules, got.Partially, err = a.RulesFor(t.Context(), request.User, request.Namespace)
	got.RulesErr = said(err)
	return got
}

// TestSameAsUpstream asks both after each of many changes, so that an index that is kept for too long would show.
func TestSameAsUpstream(t *testing.T) {
	const policies, changes, requests = 60, 80, 8
	decided := map[authorizer.Decision]int{}
	complained := 0
	for seed := range uint64(policies) {
		c := chance{rand.New(rand.NewPCG(seed, 1))}
		p := newPolicy()
		ours, theirs := New(p), p.upstream()
		for range changes {
			c.change(t, p)
			for range requests {
				request := c.request()
				got, want := ask(t, ours, request), ask(t, theirs, request)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d: %+v by %+v (-upstream +ours):\n%s", seed, request, request.User, diff)
				}
				decided[got.Decision]++
				if got.Decision == authorizer.DecisionNoOpinion && got.Reason != "" {
					complained++
				}
			}
		}
	}
	// Policies that allowed nothing, or everything, would prove nothing.
	if decided[authorizer.DecisionAllow] < 2000 || decided[authorizer.DecisionNoOpinion] < 1000 || complained < 1000 {
		t.Errorf("%v decisions and %d complaints about missing roles: too few of some for a comparison", decided, complained)
	}
}
