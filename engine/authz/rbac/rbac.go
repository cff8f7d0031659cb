// Package rbac decides by roles and bindings. The evaluation is upstream's, word for word; what is added is an index from
// subjects to bindings, so that upstream is shown the bindings of the one who asks instead of all there are: what a request
// costs does not grow with the number of users.
package rbac

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbacinformers "k8s.io/client-go/informers/rbac/v1"
	upstream "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// Authorizer is upstream's RBAC authorizer over indexed bindings. What it decides is as fresh as the informers' listers are:
// it never answers from a binding that its lister does not show any more. It is safe for concurrent use.
type Authorizer struct {
	roles           *upstream.RoleGetter
	clusterRoles    *upstream.ClusterRoleGetter
	clusterBindings *clusterBindings
	bindings        *namespacedBindings
}

var (
	_ authorizer.Authorizer   = (*Authorizer)(nil)
	_ authorizer.RuleResolver = (*Authorizer)(nil)
)

// New registers its interest in the informers, which somebody else starts. Until they have synced, nothing is allowed.
func New(informers rbacinformers.Interface) *Authorizer {
	return &Authorizer{
		roles:           &upstream.RoleGetter{Lister: informers.Roles().Lister()},
		clusterRoles:    &upstream.ClusterRoleGetter{Lister: informers.ClusterRoles().Lister()},
		clusterBindings: newClusterBindings(informers.ClusterRoleBindings()),
		bindings:        newNamespacedBindings(informers.RoleBindings()),
	}
}

// evaluator is upstream's authorizer, of all bindings shown those that concern one user.
func (a *Authorizer) evaluator(of user.Info) *upstream.RBACAuthorizer {
	return upstream.New(a.roles, bindingsOf{of, a.bindings}, a.clusterRoles, clusterBindingsOf{of, a.clusterBindings})
}

// Authorize implements authorizer.Authorizer.
func (a *Authorizer) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	return a.evaluator(attributes.GetUser()).Authorize(ctx, attributes)
}

// ConditionsAwareAuthorize implements authorizer.Authorizer. RBAC knows no conditions.
func (a *Authorizer) ConditionsAwareAuthorize(ctx context.Context, attributes authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(a.Authorize(ctx, attributes))
}

// EvaluateConditions implements authorizer.Authorizer. RBAC knows no conditions.
func (a *Authorizer) EvaluateConditions(
	context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData,
) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// RulesFor implements authorizer.RuleResolver.
func (a *Authorizer) RulesFor(ctx context.Context, of user.Info, namespace string) (
	[]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error,
) {
	return a.evaluator(of).RulesFor(ctx, of, namespace)
}

// bindingsOf implements upstream's RoleBindingLister for one user.
type bindingsOf struct {
	user user.Info
	all  *namespacedBindings
}

// ListRoleBindings implements upstream's RoleBindingLister.
func (b bindingsOf) ListRoleBindings(_ context.Context, namespace string) ([]*rbacv1.RoleBinding, error) {
	index, err := b.all.in(namespace)
	if err != nil {
		return nil, err
	}
	return index.of(b.user), nil
}

// clusterBindingsOf implements upstream's ClusterRoleBindingLister for one user.
type clusterBindingsOf struct {
	user user.Info
	all  *clusterBindings
}

// ListClusterRoleBindings implements upstream's ClusterRoleBindingLister.
func (b clusterBindingsOf) ListClusterRoleBindings(context.Context) ([]*rbacv1.ClusterRoleBinding, error) {
	index, err := b.all.present()
	if err != nil {
		return nil, err
	}
	return index.of(b.user), nil
}
