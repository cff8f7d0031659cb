// Package abac decides by policies in a file.
//
// The file holds policies in JSON, usually one on a line. Empty lines, and lines that begin with a #, are passed over. A
// request is allowed if any policy allows it; there are none that deny. There are two kinds of policies, which can be mixed.
//
// Those of upstream's have apiVersion abac.authorization.kubernetes.io/v1beta1, and mean exactly what they mean to
// kube-apiserver:
//
//	{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy",
//	 "spec":{"user":"jane","namespace":"web","apiGroup":"*","resource":"pods","readonly":true}}
//
// The others have apiVersion authorization.k8s.io/v1 and say what rules of RBAC say, with subjects and namespaces beside them:
//
//	{"apiVersion":"authorization.k8s.io/v1","kind":"Policy","spec":{
//	  "subjects":[{"kind":"User","name":"jane.doe@example.com"},
//	              {"kind":"Group","name":"operators"},
//	              {"kind":"ServiceAccount","namespace":"web","name":"deployer"}],
//	  "verbs":["get","list","watch"],
//	  "resources":[{"apiGroups":[""],"resources":["pods","pods/log"],"resourceNames":["a"]}],
//	  "namespaces":["web"],
//	  "nonResourceURLs":["/metrics","/logs/*"]}}
//
// These are the fields there are. A policy needs resources or nonResourceURLs, and can have both.
//
//   - subjects: whom it is about, one at least. A User or Group called * is everybody with credentials, that is, the group
//     system:authenticated.
//   - verbs: what they may do, one at least; * is everything.
//   - resources: what they may do it with. apiGroups and resources are required in each, and * in them is all; a subresource is
//     written as in pods/log, that of any resource as in */scale. resourceNames narrows it to objects of these names.
//   - namespaces: where the objects are. Left out, or with a * in it, it means all namespaces and what is in none.
//   - nonResourceURLs: paths that are no resources, such as /version. With a * at its end, one means all that begin like it.
package abac

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	upstream "k8s.io/kubernetes/pkg/auth/authorizer/abac"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// Policies is what a file of policies says. It does not change; it is safe for concurrent use.
type Policies struct {
	upstream upstream.PolicyList
	own      []policy
}

var (
	_ authorizer.Authorizer   = (*Policies)(nil)
	_ authorizer.RuleResolver = (*Policies)(nil)
)

// policy is a policy of authorization.k8s.io/v1.
type policy struct {
	line            int // where it begins in its file
	users, groups   []string
	everywhere      bool // namespaces means nothing then
	namespaces      []string
	resources       []rbacv1.PolicyRule
	nonResourceURLs []rbacv1.PolicyRule // one, or none
}

// concerns says whether a policy is about a user.
func (p *policy) concerns(u user.Info) bool {
	return u != nil && (slices.Contains(p.users, u.GetName()) ||
		slices.ContainsFunc(u.GetGroups(), func(group string) bool { return slices.Contains(p.groups, group) }))
}

// reaches says whether a policy is about what is in a namespace; an empty one is none.
func (p *policy) reaches(namespace string) bool {
	return p.everywhere || namespace != "" && slices.Contains(p.namespaces, namespace)
}

func (p *policy) allows(a authorizer.Attributes) bool {
	switch {
	case !p.concerns(a.GetUser()):
		return false
	case !a.IsResourceRequest():
		return rbac.RulesAllow(a, p.nonResourceURLs...)
	default:
		return p.reaches(a.GetNamespace()) && rbac.RulesAllow(a, p.resources...)
	}
}

// Authorize implements authorizer.Authorizer.
func (p *Policies) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	for i := range p.own {
		if p.own[i].allows(a) {
			return authorizer.DecisionAllow, fmt.Sprintf("ABAC: allowed by the policy on line %d", p.own[i].line), nil
		}
	}
	return p.upstream.Authorize(ctx, a)
}

// ConditionsAwareAuthorize implements authorizer.Authorizer. Policies know no conditions.
func (p *Policies) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(p.Authorize(ctx, a))
}

// EvaluateConditions implements authorizer.Authorizer. Policies know no conditions.
func (p *Policies) EvaluateConditions(
	ctx context.Context, decision authorizer.ConditionsAwareDecision, data authorizer.ConditionsData,
) (authorizer.Decision, string, error) {
	return p.upstream.EvaluateConditions(ctx, decision, data)
}

// RulesFor implements authorizer.RuleResolver.
func (p *Policies) RulesFor(ctx context.Context, u user.Info, namespace string) (
	[]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error,
) {
	resources, others, incomplete, err := p.upstream.RulesFor(ctx, u, namespace)
	for i := range p.own {
		one := &p.own[i]
		if !one.concerns(u) {
			continue
		}
		if one.reaches(namespace) {
			for _, rule := range one.resources {
				resources = append(resources, &authorizer.DefaultResourceRuleInfo{
					Verbs: rule.Verbs, APIGroups: rule.APIGroups, Resources: rule.Resources, ResourceNames: rule.ResourceNames,
				})
			}
		}
		for _, rule := range one.nonResourceURLs {
			others = append(others, &authorizer.DefaultNonResourceRuleInfo{Verbs: rule.Verbs, NonResourceURLs: rule.NonResourceURLs})
		}
	}
	return resources, others, incomplete, err
}

// everybody is the group of all that have credentials.
const everybody = user.AllAuthenticated

// serviceAccount is the name of a service account as a user.
func serviceAccount(namespace, name string) string {
	return serviceaccount.MakeUsername(namespace, name)
}
