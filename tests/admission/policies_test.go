package admission

import (
	"slices"
	"strings"
	"testing"

	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// configMaps matches what is done to the config maps of a case.
func configMaps(name string) *registrationv1.MatchResources {
	return &registrationv1.MatchResources{
		ObjectSelector: only(name),
		ResourceRules:  []registrationv1.NamedRuleWithOperations{{RuleWithOperations: everything()[0]}},
	}
}

// policy makes a validating policy, about the config maps of a case unless it says about what, and a binding of it.
func (w *world) policy(t *testing.T, name string, spec registrationv1.ValidatingAdmissionPolicySpec, bound func(*registrationv1.ValidatingAdmissionPolicyBindingSpec)) {
	t.Helper()
	if spec.MatchConstraints == nil {
		spec.MatchConstraints = configMaps(name)
	}
	mustMake(t, w.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create,
		&registrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec})
	binding := registrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ValidationActions: []registrationv1.ValidationAction{registrationv1.Deny},
	}
	if bound != nil {
		bound(&binding)
	}
	mustMake(t, w.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create,
		&registrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: binding})
}

// write stores a config map of a case whose data are pairs. It is a dry run, so that it can be repeated.
func (w *world) write(t *testing.T, ns, name string, pairs ...string) (*corev1.ConfigMap, error) {
	t.Helper()
	object := of(name)
	object.Data = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		object.Data[pairs[i]] = pairs[i+1]
	}
	return w.CoreV1().ConfigMaps(ns).Create(t.Context(), object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// comesToRefuse waits until a policy refuses, and checks its words.
func comesToRefuse(t *testing.T, want string, write func() error) {
	t.Helper()
	var err error
	eventually(t, "the policy refuses", func() bool { err = write(); return err != nil })
	wantError(t, err, want)
}

func TestValidatingPoliciesDecide(t *testing.T) {
	w := start(t)
	short := registrationv1.Validation{Expression: `size(object.data) < 2`, MessageExpression: `"has " + string(size(object.data)) + " entries"`}

	t.Run("in the words of their message expressions", func(t *testing.T) {
		w.policy(t, "message", registrationv1.ValidatingAdmissionPolicySpec{Validations: []registrationv1.Validation{short}}, nil)
		comesToRefuse(t, `ValidatingAdmissionPolicy 'message' with binding 'message' denied request: has 2 entries`, func() error {
			_, err := w.write(t, "default", "message", "a", "1", "b", "2")
			return err
		})
		if _, err := w.write(t, "default", "message", "a", "1"); err != nil {
			t.Error(err)
		}
	})
	t.Run("by warning alone", func(t *testing.T) {
		w.policy(t, "warn", registrationv1.ValidatingAdmissionPolicySpec{Validations: []registrationv1.Validation{short}},
			func(b *registrationv1.ValidatingAdmissionPolicyBindingSpec) {
				b.ValidationActions = []registrationv1.ValidationAction{registrationv1.Warn, registrationv1.Audit}
			})
		eventually(t, "it warns", func() bool {
			if _, err := w.write(t, "default", "warn", "a", "1", "b", "2"); err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(w.warnings.take(), func(text string) bool {
				return strings.Contains(text, "Validation failed for ValidatingAdmissionPolicy 'warn' with binding 'warn': has 2 entries")
			})
		})
	})
	t.Run("by what the user may do", func(t *testing.T) {
		w.policy(t, "rights", registrationv1.ValidatingAdmissionPolicySpec{Validations: []registrationv1.Validation{{
			Expression: `authorizer.group("").resource("nodes").check("reboot").allowed()`, Message: "may not reboot",
		}}}, nil)
		mustMake(t, w.RbacV1().ClusterRoles().Create, role("maps", "create", "", "configmaps"))
		mustMake(t, w.RbacV1().ClusterRoleBindings().Create, binding("maps", "jane"))
		jane := w.as(t, "jane").CoreV1().ConfigMaps("default")
		comesToRefuse(t, "may not reboot", func() error {
			_, err := jane.Create(t.Context(), of("rights"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		})
		if _, err := w.write(t, "default", "rights"); err != nil {
			t.Errorf("who may do everything is refused: %v", err)
		}
	})
	t.Run("by parameters of each namespace", func(t *testing.T) {
		limited, free := w.namespace(t, "limited", nil), w.namespace(t, "free", nil)
		limit := settings("limit", nil)
		limit.Data = map[string]string{"most": "1"}
		mustMake(t, w.CoreV1().ConfigMaps(limited).Create, limit)
		w.policy(t, "params", registrationv1.ValidatingAdmissionPolicySpec{
			ParamKind:   &registrationv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"},
			Validations: []registrationv1.Validation{{Expression: `size(object.data) <= int(params.data.most)`, Message: "too many"}},
		}, func(b *registrationv1.ValidatingAdmissionPolicyBindingSpec) {
			b.ParamRef = &registrationv1.ParamRef{Name: "limit", ParameterNotFoundAction: ptr.To(registrationv1.AllowAction)}
		})
		comesToRefuse(t, "too many", func() error {
			_, err := w.write(t, limited, "params", "a", "1", "b", "2")
			return err
		})
		if _, err := w.write(t, limited, "params", "a", "1"); err != nil {
			t.Error(err)
		}
		if _, err := w.write(t, free, "params", "a", "1", "b", "2"); err != nil {
			t.Errorf("where there is no parameter, which is allowed: %v", err)
		}
		// The limit that is raised holds from then on.
		limit.Data["most"] = "2"
		if _, err := w.CoreV1().ConfigMaps(limited).Update(t.Context(), limit, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the new limit holds", func() bool {
			_, err := w.write(t, limited, "params", "a", "1", "b", "2")
			return err == nil
		})
	})
	t.Run("by parameters that are missing", func(t *testing.T) {
		w.policy(t, "missing", registrationv1.ValidatingAdmissionPolicySpec{
			ParamKind:   &registrationv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"},
			Validations: []registrationv1.Validation{{Expression: `true`}},
		}, func(b *registrationv1.ValidatingAdmissionPolicyBindingSpec) {
			b.ParamRef = &registrationv1.ParamRef{Namespace: "default", Name: "nothing", ParameterNotFoundAction: ptr.To(registrationv1.DenyAction)}
		})
		comesToRefuse(t, "no params found for policy binding with `Deny` parameterNotFoundAction", func() error {
			_, err := w.write(t, "default", "missing")
			return err
		})
	})
	t.Run("and refuse where they fail, unless failures are to be ignored", func(t *testing.T) {
		for name, policy := range map[string]registrationv1.FailurePolicyType{"failing": registrationv1.Fail, "ignored": registrationv1.Ignore} {
			w.policy(t, name, registrationv1.ValidatingAdmissionPolicySpec{
				FailurePolicy: &policy, Validations: []registrationv1.Validation{{Expression: `object.data.none == "x"`}},
			}, nil)
		}
		comesToRefuse(t, "expression 'object.data.none == \"x\"' resulted in error: no such key: none", func() error {
			_, err := w.write(t, "default", "failing", "a", "1")
			return err
		})
		if _, err := w.write(t, "default", "ignored", "a", "1"); err != nil {
			t.Error(err)
		}
	})
	t.Run("and refuse where they cost too much", func(t *testing.T) {
		// Each by itself is within what one expression may cost; together they are more than a request's.
		const nested = `[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, [0,1,2,3,4,5,6,7,8,9].all(c, ` +
			`[0,1,2,3,4,5,6,7,8,9].all(d, [0,1,2,3,4,5,6,7,8,9].all(e, [0,1,2,3,4,5,6,7,8,9].all(f, [0,1,2,3,4,5,6,7,8,9].all(g, a >= 0)))))))`
		w.policy(t, "costly", registrationv1.ValidatingAdmissionPolicySpec{Validations: []registrationv1.Validation{{Expression: nested}}}, nil)
		comesToRefuse(t, "exceeded", func() error {
			_, err := w.write(t, "default", "costly")
			return err
		})
	})
	t.Run("only if they can be compiled", func(t *testing.T) {
		mustRefuse(t, w.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create, &registrationv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "broken"},
			Spec: registrationv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: configMaps("broken"), Validations: []registrationv1.Validation{{Expression: "object."}},
			},
		}, "spec.validations[0].expression: Invalid value: \"object.\": compilation failed: ERROR: <input>:1:8: Syntax error")
	})
	t.Run("and tell in their status what their types get wrong", func(t *testing.T) {
		w.policy(t, "types", registrationv1.ValidatingAdmissionPolicySpec{
			Validations: []registrationv1.Validation{{Expression: `object.dada.size() > 1`}},
		}, nil)
		var warnings []registrationv1.ExpressionWarning
		eventually(t, "the status has what was found", func() bool {
			policy, err := w.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(t.Context(), "types", metav1.GetOptions{})
			if err != nil || policy.Status.TypeChecking == nil || policy.Status.ObservedGeneration != policy.Generation {
				return false
			}
			warnings = policy.Status.TypeChecking.ExpressionWarnings
			return true
		})
		if len(warnings) != 1 || warnings[0].FieldRef != "spec.validations[0].expression" || !strings.Contains(warnings[0].Warning, "undefined field 'dada'") {
			t.Errorf("warnings are %+v, want one of the undefined field dada", warnings)
		}
	})
	t.Run("from the first write after a start on", func(t *testing.T) {
		w.Restart()
		_, err := w.write(t, "default", "message", "a", "1", "b", "2")
		wantError(t, err, "denied request: has 2 entries")
	})
}

func TestMutatingPoliciesChange(t *testing.T) {
	w := start(t)
	for name, mutation := range map[string]registrationv1.Mutation{
		"apply": {PatchType: registrationv1.PatchTypeApplyConfiguration, ApplyConfiguration: &registrationv1.ApplyConfiguration{
			Expression: `Object{data: {"by": variables.who}}`,
		}},
		"patch": {PatchType: registrationv1.PatchTypeJSONPatch, JSONPatch: &registrationv1.JSONPatch{
			Expression: `[JSONPatch{op: "add", path: "/data/by", value: variables.who}]`,
		}},
		"unfit": {PatchType: registrationv1.PatchTypeJSONPatch, JSONPatch: &registrationv1.JSONPatch{
			Expression: `[JSONPatch{op: "remove", path: "/data/none"}]`,
		}},
	} {
		mustMake(t, w.AdmissionregistrationV1().MutatingAdmissionPolicies().Create, &registrationv1.MutatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: registrationv1.MutatingAdmissionPolicySpec{
				MatchConstraints: configMaps(name), Mutations: []registrationv1.Mutation{mutation},
				ReinvocationPolicy: registrationv1.NeverReinvocationPolicy,
				Variables:          []registrationv1.Variable{{Name: "who", Expression: `request.userInfo.username`}},
			},
		})
		mustMake(t, w.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Create, &registrationv1.MutatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: registrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
		})
	}
	for _, name := range []string{"apply", "patch"} {
		eventually(t, "the policy "+name+" changes the object", func() bool {
			made, err := w.write(t, "default", name, "a", "1")
			return err == nil && made.Data["by"] == "kubernetes-admin" && made.Data["a"] == "1"
		})
	}
	comesToRefuse(t, "error in remove for path: '/data/none'", func() error {
		_, err := w.write(t, "default", "unfit", "a", "1")
		return err
	})
}
