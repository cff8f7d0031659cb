// Package authz is the second gate: may they? It is a chain of authorizers, upstream's or made to answer as they do; the first
// that allows or denies decides, and what nobody allows is refused with 403.
//
// Members of system:masters may do everything and anybody may get the open paths, before all else: a server whose policies are
// broken can be repaired, and probed. What comes after is for the configuration to say. A member that fails decides
// nothing unless it says otherwise, and a request that nobody allowed is then answered with the failure.
package authz

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/union"
)

// MemberAnnotation is the annotation of audit events that names the member that decided. There is none if nobody did.
const MemberAnnotation = "authorization.gatehouse.dev/member"

// The members that every chain begins with. The first has the name that it has in kube-apiserver.
const (
	privilegedName = "kubernetes.io/system-privileged-group"
	pathsName      = "paths"
)

// Chain is the gate: authorizer and rule resolver in one, as upstream's registries want them. It is safe for concurrent use.
type Chain struct {
	tallies *tallies
	present func() *members
}

var (
	_ authorizer.Authorizer   = (*Chain)(nil)
	_ authorizer.RuleResolver = (*Chain)(nil)
)

// members are a chain as it is until the configuration changes.
type members struct {
	list []member
	// rules is what SelfSubjectRulesReview reads.
	rules authorizer.RuleResolver
}

// member is one link of the chain.
type member struct {
	// kind is the type as an AuthorizationConfiguration spells it, name what reasons, audit and metrics call it.
	kind, name string
	authorizer authorizer.UnconditionalAuthorizer
	rules      authorizer.RuleResolver // nil if it knows of none
	tally      *tally
}

// New builds the chain.
func New(options Options) (*Chain, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Chain{tallies: &tallies{}}
	b := &builder{options: options, tallies: c.tallies}
	var err error
	if c.present, err = b.build(); err != nil {
		return nil, err
	}
	return c, nil
}

// verdict is what the chain has decided, and who of it; nobody if decision is DecisionNoOpinion.
type verdict struct {
	decision authorizer.Decision
	member   string
	reason   string
	err      error
}

// decide asks the members in turn. Reasons and failures are put together as upstream's union of authorizers does.
func (c *Chain) decide(ctx context.Context, a authorizer.Attributes) verdict {
	var reasons []string
	var failures []error
	list := c.present().list
	for i := range list {
		m := &list[i]
		decision, reason, err := m.authorizer.Authorize(ctx, a)
		m.tally.count(decision)
		if decision != authorizer.DecisionNoOpinion {
			return verdict{decision: decision, member: m.name, reason: reason, err: err}
		}
		if err != nil {
			failures = append(failures, err)
		}
		if reason != "" {
			reasons = append(reasons, m.name+": "+reason)
		}
	}
	return verdict{decision: authorizer.DecisionNoOpinion, reason: strings.Join(reasons, "\n"), err: utilerrors.NewAggregate(failures)}
}

// Authorize implements authorizer.Authorizer.
func (c *Chain) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	v := c.decide(ctx, a)
	return v.decision, v.reason, v.err
}

// ConditionsAwareAuthorize implements authorizer.Authorizer. No member knows conditions.
func (c *Chain) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(c.Authorize(ctx, a))
}

// EvaluateConditions implements authorizer.Authorizer. No member knows conditions.
func (c *Chain) EvaluateConditions(
	context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData,
) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// RulesFor implements authorizer.RuleResolver.
func (c *Chain) RulesFor(ctx context.Context, u user.Info, namespace string) (
	[]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error,
) {
	return c.present().rules.RulesFor(ctx, u, namespace)
}

// Audited is the chain for the one who decides whether a request goes on: it says in the request's audit event which member has
// decided. Others ask the chain about requests that are none, as reviews do.
func (c *Chain) Audited() authorizer.UnconditionalAuthorizer { return audited{c} }

type audited struct{ chain *Chain }

// Authorize implements authorizer.UnconditionalAuthorizer.
func (a audited) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	v := a.chain.decide(ctx, attributes)
	if v.member != "" {
		audit.AddAuditAnnotation(ctx, MemberAnnotation, v.member)
	}
	return v.decision, v.reason, v.err
}

// first are the members that every chain begins with.
func first(openPaths []string, tallies *tallies) []member {
	return []member{
		{
			kind: "PrivilegedGroup", name: privilegedName, tally: tallies.of("PrivilegedGroup", privilegedName),
			authorizer: authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup),
		},
		{kind: "Paths", name: pathsName, tally: tallies.of("Paths", pathsName), authorizer: readable(openPaths)},
	}
}

// newMembers puts a chain together.
func newMembers(list []member) *members {
	var resolvers []authorizer.RuleResolver
	for _, m := range list {
		if m.rules != nil {
			resolvers = append(resolvers, m.rules)
		}
	}
	return &members{list: list, rules: union.NewRuleResolvers(resolvers...)}
}

// readable lets anyone get the paths, as upstream's role system:public-info-viewer does, also where there are no roles.
func readable(paths []string) authorizer.AuthorizerFunc {
	return func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if !a.IsResourceRequest() && a.GetVerb() == "get" && slices.Contains(paths, a.GetPath()) {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	}
}
