package plugins

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"gatehouse/plugins/sandbox"
)

func TestAManifestSaysHowAPluginIsRun(t *testing.T) {
	m, err := parseManifest([]byte(`
description: Every Pod says who owns it.
admission:
  phases: [validate]
  matchPolicy: Exact
  rules:
  - operations: [CREATE, UPDATE]
    apiGroups: [""]
    apiVersions: [v1]
    resources: [pods, pods/ephemeralcontainers]
    scope: Namespaced
settings:
  owners: [a, b]
  depth: 3
limits:
  memory: 32Mi
  output: 64Ki
  deadline: 50ms
  start: 1s
  instances: 8
failurePolicy: Ignore
`))
	if err != nil {
		t.Fatal(err)
	}
	namespaced := admissionregistrationv1.NamespacedScope
	want := &admissionConfig{
		Phases:      []phase{validate},
		MatchPolicy: admissionregistrationv1.Exact,
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{"CREATE", "UPDATE"},
			Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"},
				Resources: []string{"pods", "pods/ephemeralcontainers"}, Scope: &namespaced},
		}},
	}
	if diff := cmp.Diff(want, m.Admission, cmpopts.IgnoreUnexported(admissionConfig{})); diff != "" {
		t.Errorf("admission (-want +got):\n%s", diff)
	}
	limits := sandbox.Limits{Memory: 32 << 20, Output: 64 << 10, Deadline: 50 * time.Millisecond, Start: time.Second, Instances: 8}
	if diff := cmp.Diff(limits, m.limits()); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if got := string(m.Settings); got != `{"depth":3,"owners":["a","b"]}` {
		t.Errorf("settings are %s", got)
	}
	if m.FailurePolicy != ignore || m.Description != "Every Pod says who owns it." {
		t.Errorf("got %q, %q", m.FailurePolicy, m.Description)
	}
}

func TestAnEmptyManifestIsOneOfDefaults(t *testing.T) {
	for _, text := range []string{"", "  \n", "# nothing\n", "settings:\n", "{}"} {
		m, err := parseManifest([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if m.FailurePolicy != fail || len(m.Admission.Phases) != 2 || m.Settings != nil ||
			m.Admission.MatchPolicy != admissionregistrationv1.Equivalent || m.limits() != (sandbox.Limits{}) {
			t.Errorf("%q is %+v", text, m)
		}
		if diff := cmp.Diff(defaultRules(), m.Admission.Rules); diff != "" {
			t.Errorf("%q: rules (-want +got):\n%s", text, diff)
		}
	}
}

func TestAManifestsErrorsNameTheKey(t *testing.T) {
	rule := func(changed string) string {
		lines := map[string]string{"operations": "['*']", "apiGroups": "['']", "apiVersions": "[v1]", "resources": "[pods]"}
		key, value, _ := strings.Cut(changed, ": ")
		lines[key] = value
		text := "admission:\n  rules:\n  -"
		for _, key := range []string{"operations", "apiGroups", "apiVersions", "resources", "scope"} {
			if lines[key] != "" {
				text += " " + key + ": " + lines[key] + "\n   "
			}
		}
		return text
	}
	for _, test := range []struct {
		name, text, want string
	}{
		{"what is no YAML", "a: [b", "is no YAML"},
		{"a list", "- a", "cannot unmarshal array"},
		{"a key that does not exist", "limits: {memori: 1Mi}", `unknown field "limits.memori"`},
		{"a key in the wrong case", "failurepolicy: Fail", `unknown field "failurepolicy"`},
		{"a key given twice", "limits: {}\nlimits: {}", `"limits" already set`},
		{"a phase that does not exist", "admission: {phases: [mutate, mutilate]}", `admission.phases[1]: "mutilate" is neither mutate nor validate`},
		{"no rules at all", "admission: {rules: []}", "admission.rules: is empty"},
		{"an operation that does not exist", rule("operations: [PATCH]"), `admission.rules[0].operations[0]: "PATCH" is none of`},
		{"no operation", rule("operations: "), "admission.rules[0].operations: is missing"},
		{"no group", rule("apiGroups: "), `admission.rules[0].apiGroups: is missing; [""] means the core group`},
		{"no version", rule("apiVersions: "), "admission.rules[0].apiVersions: is missing"},
		{"no resource", rule("resources: "), "admission.rules[0].resources: is missing"},
		{"a scope that does not exist", rule("scope: Galactic"), `admission.rules[0].scope: "Galactic" is none of`},
		{"a match policy that does not exist", "admission: {matchPolicy: Fuzzy}", "admission.matchPolicy"},
		{"a failure policy that does not exist", "failurePolicy: Retry", `failurePolicy: "Retry" is neither Fail nor Ignore`},
		{"settings that are no mapping", "settings: [1]", "settings: must be a mapping"},
		{"memory that is no quantity", "limits: {memory: lots}", "quantities must match"},
		{"hardly any memory", "limits: {memory: 1Ki}", "limits.memory: 1Ki is less than one page"},
		{"more memory than there can be", "limits: {memory: 5Gi}", "limits.memory: 5Gi is more than the 4Gi"},
		{"a deadline that is no time", "limits: {deadline: soon}", `invalid duration "soon"`},
		{"an endless deadline", "limits: {deadline: 1h}", "limits.deadline: 1h0m0s is not between"},
		{"a negative start", "limits: {start: -1s}", "limits.start: -1s is not between"},
		{"negative output", "limits: {output: -1}", "limits.output: -1 is negative"},
		{"too many instances", "limits: {instances: 5000}", "limits.instances: 5000 is not between"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseManifest([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
		})
	}
}
