package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"gatehouse/plugins/capability"
	"gatehouse/plugins/sandbox"
)

// Authorization is the member of the chain of authorizers that asks plugins whether a request may be made, in the order of their
// names, until one allows or denies it. It is safe for concurrent use.
type Authorization struct {
	set       *Set
	selection Selection
}

var (
	_ authorizer.Authorizer   = (*Authorization)(nil)
	_ authorizer.RuleResolver = (*Authorization)(nil)
)

// Authorization asks the selected plugins.
func (s *Set) Authorization(selection Selection) *Authorization { return &Authorization{s, selection} }

// Authorize implements authorizer.Authorizer. A plugin that fails denies, unless its failurePolicy says otherwise; the reason
// says which and why, and there is no error.
func (a *Authorization) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.set.ownRequest(ctx) {
		return authorizer.DecisionNoOpinion, "", nil
	}
	candidates := a.set.roster.Load().authorize
	if len(candidates) == 0 {
		return authorizer.DecisionNoOpinion, "", nil
	}
	asked := questionOf(attributes)
	matches := func(m *manifest) (bool, error) { return matchesAnyRule(m.Authorization.Rules, &asked), nil }
	var review *accessReview // made for the first plugin that is asked
	var reasons []string
	for i := range candidates {
		judge := &candidates[i]
		if !matchesAnyRule(judge.rules, &asked) || !a.selection.has(judge.name) || capability.Asks(ctx, judge.name) {
			continue
		}
		c, err := a.set.concerned(ctx, judge.plugin, sandbox.Authorize, matches)
		if err != nil {
			return authorizer.DecisionDeny, err.Error(), nil
		}
		if c == nil {
			continue
		}
		if review == nil {
			review = newAccessReview(attributes)
		}
		decision, reason := review.ask(ctx, c)
		if decision != authorizer.DecisionNoOpinion {
			return decision, reason, nil
		}
		if reason != "" {
			reasons = append(reasons, reason)
		}
	}
	return authorizer.DecisionNoOpinion, strings.Join(reasons, "\n"), nil
}

// ConditionsAwareAuthorize implements authorizer.Authorizer. No plugin knows conditions.
func (a *Authorization) ConditionsAwareAuthorize(ctx context.Context, attributes authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(a.Authorize(ctx, attributes))
}

// EvaluateConditions implements authorizer.Authorizer. No plugin knows conditions.
func (a *Authorization) EvaluateConditions(
	context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData,
) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// RulesFor implements authorizer.RuleResolver. Plugins cannot be asked for all that somebody may do, so the list is incomplete if there
// is one who might have been.
func (a *Authorization) RulesFor(context.Context, user.Info, string) (
	[]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error,
) {
	for _, p := range a.set.roster.Load().authorize {
		if a.selection.has(p.name) {
			return nil, nil, true, fmt.Errorf("authorization plugin %q does not support user rule resolution", p.name)
		}
	}
	return nil, nil, false, nil
}

// ask has one plugin decide.
func (r *accessReview) ask(ctx context.Context, c *call) (authorizer.Decision, string) {
	wanted, err := r.wanted(ctx, c)
	if err == nil && !wanted {
		return authorizer.DecisionNoOpinion, ""
	}
	defer c.leave()
	var status authorizationv1.SubjectAccessReviewStatus
	if err == nil {
		status, err = r.decide(ctx, c)
	}
	if c.recorded() && (err == nil || isFault(err)) {
		c.record(Record{Decision: string(resultOf(status)), Message: reasonOf(status)}, r.payload, err)
	}
	var fault *sandbox.Fault
	switch {
	case errors.As(err, &fault):
		s := r.review.Spec
		about := []slog.Attr{slog.String("user", s.User)}
		if resource := s.ResourceAttributes; resource != nil {
			about = append(about, slog.String("verb", resource.Verb), slog.String("group", resource.Group), slog.String("resource", resource.Resource),
				slog.String("subresource", resource.Subresource), slog.String("namespace", resource.Namespace), slog.String("name", resource.Name))
		} else {
			about = append(about, slog.String("verb", s.NonResourceAttributes.Verb), slog.String("path", s.NonResourceAttributes.Path))
		}
		annotate := func(key, value string) { audit.AddAuditAnnotation(ctx, key, value) }
		if err := c.failed(ctx, fault, string(sandbox.Authorize), annotate, about...); err != nil {
			return authorizer.DecisionDeny, err.Error()
		}
		return authorizer.DecisionNoOpinion, ""
	case err != nil:
		return authorizer.DecisionDeny, err.Error()
	}
	return c.carryOut(status)
}

// carryOut turns an answer into a decision and its reason, which names the plugin.
func (c *call) carryOut(status authorizationv1.SubjectAccessReviewStatus) (authorizer.Decision, string) {
	by := fmt.Sprintf("authorization plugin %q", c.plugin.name)
	reason := reasonOf(status)
	if reason != "" {
		reason = ": " + reason
	}
	ended := resultOf(status)
	c.count(ended)
	switch ended {
	case deniedResult:
		return authorizer.DecisionDeny, by + " denied the request" + reason
	case allowedResult:
		return authorizer.DecisionAllow, by + " allowed the request" + reason
	}
	if reason == "" {
		return authorizer.DecisionNoOpinion, ""
	}
	return authorizer.DecisionNoOpinion, by + reason
}

// wanted reports whether the plugin's matchConditions want it to be asked. That they cannot be evaluated is a *sandbox.Fault.
func (r *accessReview) wanted(ctx context.Context, c *call) (bool, error) {
	matcher := c.state.manifest.Authorization.matcher
	if matcher == nil {
		return true, nil
	}
	matches, err := matcher.Eval(ctx, r.review)
	if err != nil && ctx.Err() == nil {
		return false, unevaluated("authorization.matchConditions", err)
	}
	return matches, err
}

// resultOf is what an answer decides.
func resultOf(status authorizationv1.SubjectAccessReviewStatus) result {
	switch {
	case status.Denied:
		return deniedResult
	case status.Allowed:
		return allowedResult
	}
	return noOpinionResult
}

// reasonOf is why, in a line.
func reasonOf(status authorizationv1.SubjectAccessReviewStatus) string {
	reason := status.Reason
	if status.EvaluationError != "" {
		reason = strings.TrimPrefix(reason+"; "+status.EvaluationError, "; ")
	}
	return oneLine(errors.New(reason))
}

// decide runs the guest.
func (r *accessReview) decide(ctx context.Context, c *call) (status authorizationv1.SubjectAccessReviewStatus, err error) {
	if c.state.module == nil {
		return status, c.broken()
	}
	if fault := c.enter(r.origin); fault != nil {
		return status, fault
	}
	if r.payload == nil {
		if r.payload, err = json.Marshal(r.review); err != nil {
			return status, fmt.Errorf("encode the SubjectAccessReview: %w", err)
		}
	}
	err = c.run(ctx, sandbox.Request{Payload: r.payload, Fields: r}, func(answer []byte) error {
		return parseAccess(answer, &status)
	})
	return status, err
}

// origin is the review's user and namespace.
func (r *accessReview) origin() origin {
	namespace := ""
	if resource := r.review.Spec.ResourceAttributes; resource != nil {
		namespace = resource.Namespace
	}
	return originOf(r.review.Spec.User, namespace)
}

// parseAccess reads the SubjectAccessReview an authorizer answers. Every error is a *sandbox.Fault.
func parseAccess(data []byte, status *authorizationv1.SubjectAccessReviewStatus) error {
	if err := parseReview(data, accessReviewType(), status); err != nil {
		return err
	}
	if status.Allowed && status.Denied {
		return sandbox.Garbledf("its answer both allows and denies the request")
	}
	return nil
}

func accessReviewType() metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: authorizationv1.SchemeGroupVersion.String(), Kind: "SubjectAccessReview"}
}
