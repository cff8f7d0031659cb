package authz

import (
	"context"
	"encoding/json"
	"fmt"

	configuration "k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook"
	webhookmetrics "k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics"

	"gatehouse/engine/authz/abac"
	"gatehouse/engine/files"
)

// followed is a member made from a file, which is another one when the file has changed.
type followed[T lasting] struct{ file *files.File[T] }

// Authorize implements authorizer.Authorizer.
func (f followed[T]) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	return f.file.Get().Authorize(ctx, a)
}

// ConditionsAwareAuthorize implements authorizer.Authorizer.
func (f followed[T]) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return f.file.Get().ConditionsAwareAuthorize(ctx, a)
}

// EvaluateConditions implements authorizer.Authorizer.
func (f followed[T]) EvaluateConditions(
	ctx context.Context, decision authorizer.ConditionsAwareDecision, data authorizer.ConditionsData,
) (authorizer.Decision, string, error) {
	return f.file.Get().EvaluateConditions(ctx, decision, data)
}

// RulesFor implements authorizer.RuleResolver.
func (f followed[T]) RulesFor(ctx context.Context, u user.Info, namespace string) (
	[]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error,
) {
	return f.file.Get().RulesFor(ctx, u, namespace)
}

// openPolicies makes the member that decides by a file of policies.
func openPolicies(set *files.Set, path string) (lasting, error) {
	if path == "" {
		return nil, errNoPolicies
	}
	file, err := files.Open(set, path, abac.Parse)
	if err != nil {
		return nil, err
	}
	return followed[*abac.Policies]{file}, nil
}

// webhook is the member that asks a service, the one made before if it asks the same in the same way.
func (b *builder) webhook(name string, config configuration.WebhookConfiguration) (lasting, error) {
	key, err := json.Marshal(struct {
		Name   string
		Config configuration.WebhookConfiguration
	}{name, config})
	if err != nil {
		return nil, err
	}
	if known := b.webhooks[string(key)]; known != nil {
		return known, nil
	}
	// The file is followed for as long as the server runs, also when no configuration names it any more.
	path := *config.ConnectionInfo.KubeConfigFile
	file, err := files.Open(b.options.Files, path, func([]byte) (*webhook.WebhookAuthorizer, error) {
		return b.dial(name, config)
	})
	if err != nil {
		return nil, err
	}
	made := followed[*webhook.WebhookAuthorizer]{file}
	b.webhooks[string(key)] = made
	return made, nil
}

// dial makes upstream's webhook authorizer of what the kubeconfig says now.
func (b *builder) dial(name string, config configuration.WebhookConfiguration) (*webhook.WebhookAuthorizer, error) {
	client, err := webhookutil.LoadKubeconfig(*config.ConnectionInfo.KubeConfigFile, nil)
	if err != nil {
		return nil, err
	}
	client.Timeout = config.Timeout.Duration
	var onError authorizer.Decision
	switch config.FailurePolicy {
	case configuration.FailurePolicyNoOpinion:
		onError = authorizer.DecisionNoOpinion
	case configuration.FailurePolicyDeny:
		onError = authorizer.DecisionDeny
	default:
		return nil, fmt.Errorf("the failure policy is %q, want Deny or NoOpinion", config.FailurePolicy)
	}
	authorizedTTL, unauthorizedTTL := config.AuthorizedTTL.Duration, config.UnauthorizedTTL.Duration
	if !config.CacheAuthorizedRequests {
		authorizedTTL = 0
	}
	if !config.CacheUnauthorizedRequests {
		unauthorizedTTL = 0
	}
	return webhook.New(client, config.SubjectAccessReviewVersion, authorizedTTL, unauthorizedTTL, *webhook.DefaultRetryBackoff(),
		onError, config.MatchConditions, name, webhookMetrics(), b.cel())
}

// webhookMetrics counts what kube-apiserver counts: calls and conditions.
func webhookMetrics() webhookmetrics.AuthorizerMetrics {
	return struct {
		webhookmetrics.NoopRequestMetrics
		webhookmetrics.WebhookMetrics
		authorizationcel.MatcherMetrics
	}{WebhookMetrics: webhookmetrics.NewWebhookMetrics(), MatcherMetrics: authorizationcel.NewMatcherMetrics()}
}
