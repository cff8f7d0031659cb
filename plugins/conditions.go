package plugins

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/apis/apiserver"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	apiservervalidation "k8s.io/apiserver/pkg/apis/apiserver/validation"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"gatehouse/plugins/sandbox"
)

// maxMatchConditions is how many of them webhooks may have.
const maxMatchConditions = 64

// Unevaluated is the kind of a fault that is no guest's: one of the plugin's matchConditions could not be evaluated.
const Unevaluated sandbox.FaultKind = "unevaluated"

// admissionCompiler and authorizationCompiler know the variables that webhooks' expressions have. They take some time and memory to
// make, which only those spend who have an expression.
var (
	admissionCompiler = sync.OnceValue(func() plugincel.Compiler {
		return plugincel.NewCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	})
	authorizationCompiler = sync.OnceValue(func() authorizationcel.Compiler {
		return authorizationcel.NewCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	})
)

// compileConditions makes a matcher, which tells errors of evaluation whatever the failurePolicy; nil for no conditions.
func compileConditions(conditions []admissionregistrationv1.MatchCondition, variables plugincel.OptionalVariableDeclarations) (matchconditions.Matcher, error) {
	if len(conditions) == 0 {
		return nil, nil
	}
	if len(conditions) > maxMatchConditions {
		return nil, fmt.Errorf(": has %d conditions, at most %d are allowed", len(conditions), maxMatchConditions)
	}
	compiled := make([]plugincel.CompilationResult, len(conditions))
	names := map[string]bool{}
	for i, condition := range conditions {
		if problems := validation.IsQualifiedName(condition.Name); len(problems) > 0 {
			return nil, fmt.Errorf("[%d].name: %q is no name for a condition: %s", i, condition.Name, strings.Join(problems, "; "))
		}
		if names[condition.Name] {
			return nil, fmt.Errorf("[%d].name: %q stands twice", i, condition.Name)
		}
		names[condition.Name] = true
		if strings.TrimSpace(condition.Expression) == "" {
			return nil, fmt.Errorf("[%d].expression: is missing", i)
		}
		one := matchconditions.MatchCondition(condition)
		compiled[i] = admissionCompiler().CompileCELExpression(&one, variables, environment.NewExpressions)
		if err := compiled[i].Error; err != nil {
			return nil, fmt.Errorf("[%d].expression: %q: %s", i, condition.Expression, oneLine(errors.New(err.Detail)))
		}
	}
	failed := admissionregistrationv1.Fail
	return matchconditions.NewMatcher(plugincel.NewCondition(compiled), &failed, "plugin", string(sandbox.Admit), ""), nil
}

// compileAuthorizationConditions is the same for authorizers.
func compileAuthorizationConditions(conditions []apiserverv1.WebhookMatchCondition) (*authorizationcel.CELMatcher, error) {
	if len(conditions) == 0 {
		return nil, nil
	}
	converted := make([]apiserver.WebhookMatchCondition, len(conditions))
	for i, condition := range conditions {
		converted[i] = apiserver.WebhookMatchCondition{Expression: condition.Expression}
	}
	matcher, errs := apiservervalidation.ValidateAndCompileMatchConditions(authorizationCompiler(), converted)
	if len(errs) > 0 {
		return nil, fmt.Errorf("%s: %s", errs[0].Field, oneLine(errors.New(errs[0].ErrorBody())))
	}
	return matcher, nil
}

// unevaluated is the fault of conditions that stand under key.
func unevaluated(key string, err error) *sandbox.Fault {
	return &sandbox.Fault{Kind: Unevaluated, Cause: "its " + key + " cannot be evaluated", Quote: oneLine(err)}
}
