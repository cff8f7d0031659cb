// Package authz is the second gate: may they? It is a chain of upstream's authorizers; the first that allows or denies
// wins, and what nobody allows is refused with 403.
package authz

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/union"
)

// Chain is the gate and what SelfSubjectRulesReview reads from it.
type Chain struct {
	authorizer.Authorizer
	authorizer.RuleResolver
}

// New builds the chain: system:masters may do everything, anyone may read openPaths, nobody may do anything else.
func New(openPaths []string) (Chain, error) {
	privileged := authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)
	chain, err := union.New(
		union.NamedAuthorizer{AuthorizerName: "privileged-groups", Authorizer: privileged},
		union.NamedAuthorizer{AuthorizerName: "paths", Authorizer: readable(openPaths)},
	)
	if err != nil {
		return Chain{}, fmt.Errorf("chain authorizers: %w", err)
	}
	return Chain{Authorizer: chain, RuleResolver: union.NewRuleResolvers()}, nil
}

// readable lets anyone get the paths, as upstream's role system:public-info-viewer does.
func readable(paths []string) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if !a.IsResourceRequest() && a.GetVerb() == "get" && slices.Contains(paths, a.GetPath()) {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	})
}
