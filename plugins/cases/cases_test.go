package cases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/plugins/internal/guesttest"
)

// guest is a plugin of plugins/testdata.
func guest(t *testing.T, name, manifest string) Plugin {
	t.Helper()
	return Plugin{Name: name, Module: guesttest.Read(t, name), Manifest: []byte(manifest)}
}

func load(t *testing.T, path string) []Case {
	t.Helper()
	all, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func run(t *testing.T, p Plugin, all []Case) []Result {
	t.Helper()
	results, err := p.Run(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

const (
	podsOnly  = `admission: {phases: [mutate], rules: [{operations: ["*"], apiGroups: [""], apiVersions: [v1], resources: [pods]}]}`
	selective = `admission:
  namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [blue]}, {key: kubernetes.io/metadata.name, operator: In, values: [default]}]}
  objectSelector: {matchLabels: {owner: jane}}
  matchConditions: [{name: web, expression: "object.metadata.name == 'web' && !authorizer.group('').resource('pods').check('get').allowed()"}]`
	headers = `{authentication: {requests: {headers: [X-Key], clientCertificates: false}}, authorization: {rules: [{verbs: [get], resources: [pods]}]}}`
)

func TestWhatComesOutAsWantedPasses(t *testing.T) {
	for file, p := range map[string]Plugin{
		"admit": guest(t, "script", podsOnly), "identity": guest(t, "says", headers), "selective": guest(t, "allow", selective),
	} {
		for _, result := range run(t, p, load(t, filepath.Join("testdata", file+".yaml"))) {
			for _, problem := range result.Problems {
				t.Errorf("%s: %s: %s\n%s", file, result.Name, problem, result.Log)
			}
		}
	}
}

func TestWhatComesOutOtherwiseIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		file, of string // the case whose want is replaced
		want     Want
		problem  string
	}{
		"another decision":      {"admit", "a write is allowed with a warning", Want{Decision: Denied}, "decision: allowed, want denied"},
		"a failure":             {"admit", "an answer that cannot be understood is a failure", Want{Decision: Denied}, "decision: failed, want denied: Internal error"},
		"a case in vain":        {"admit", "other writes are none of its business", Want{Decision: Allowed}, "decision: not asked, want allowed"},
		"another code":          {"admit", "a write is denied", Want{Decision: Denied, Code: 403}, "code: 422, want 403"},
		"another message":       {"admit", "a write is denied", Want{Decision: Denied, Message: "^no"}, `want a match of "^no"`},
		"another warning":       {"admit", "a write is allowed with a warning", Want{Decision: Allowed, Warnings: []string{"a", "b"}}, `warnings: ["mind the gap"], want matches of ["a" "b"]`},
		"no warning":            {"admit", "a write is allowed with a warning", Want{Decision: Allowed, Warnings: []string{}}, "warnings: "},
		"another annotation":    {"admit", "a write is allowed with a warning", Want{Decision: Allowed, Annotations: map[string]string{"a/b": ""}}, `annotations: a/b is "", want ""`},
		"a change":              {"admit", "an object is patched", Want{Decision: Allowed, Unchanged: true}, "object: was changed to {"},
		"another member":        {"admit", "an object is patched", Want{Decision: Allowed, Object: map[string]any{"metadata": map[string]any{"labels": map[string]any{"a": "c"}}}}, `object.metadata.labels.a: "b", want "c"`},
		"a member that is none": {"admit", "an object is patched", Want{Decision: Allowed, Object: map[string]any{"status": map[string]any{}}}, "object.status: nothing, want {}"},
		"a longer list":         {"admit", "an object is patched", Want{Decision: Allowed, Object: map[string]any{"spec": map[string]any{"containers": []any{}}}}, "object.spec.containers: ["},
		"a member too much":     {"admit", "an object is patched", Want{Decision: Allowed, Absent: []string{"/metadata/labels/a"}}, "absent: the object has /metadata/labels/a: b"},
		"another user":          {"identity", "a token lets somebody in", Want{Decision: Allowed, User: &User{Username: "joe"}}, `want {"username":"joe"}`},
		"settings accepted":     {"identity", "a token lets somebody in", Want{Decision: Refused}, "decision: allowed, want refused"},
	} {
		t.Run(name, func(t *testing.T) {
			p := guest(t, "script", podsOnly)
			if test.file == "identity" {
				p = guest(t, "says", headers)
			}
			for _, c := range load(t, filepath.Join("testdata", test.file+".yaml")) {
				if c.Name != test.of {
					continue
				}
				c.Want = test.want
				problems := strings.Join(run(t, p, []Case{c})[0].Problems, "\n")
				if !strings.Contains(problems, test.problem) {
					t.Errorf("got %q, want %q", problems, test.problem)
				}
				return
			}
			t.Fatalf("there is no case %q", test.of)
		})
	}
}

func TestAPluginThatDoesNotComeUpIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cases.yaml")
	if err := os.WriteFile(path, []byte("[{name: it takes no settings, settings: {a: b}, want: {decision: refused, message: the tea is cold}}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := load(t, path)
	if problems := run(t, guest(t, "configure-refuse", ""), refused)[0].Problems; len(problems) > 0 {
		t.Errorf("it refuses its settings, but %q", problems)
	}
	problems := run(t, guest(t, "script", ""), refused)[0].Problems
	if len(problems) != 1 || problems[0] != "the plugin came up, want it to refuse its settings" {
		t.Errorf("it accepts any, but the problems are %q", problems)
	}
	write := load(t, filepath.Join("testdata", "admit.yaml"))[:1]
	problems = run(t, Plugin{Name: "text", Module: []byte("no module")}, write)[0].Problems
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "decision: refused, want allowed: ") {
		t.Errorf("it is no module, but the problems are %q", problems)
	}
}

func TestMistakesInCasesAreTold(t *testing.T) {
	const review = "review: {apiVersion: authentication.k8s.io/v1, kind: TokenReview, spec: {token: x}}"
	for content, want := range map[string]string{
		"":                              "has no cases",
		"a: b":                          "cannot unmarshal",
		"[{want: {decision: allowed}}]": "case 1 (): name: is missing",
		"[{name: one, want: {decision: maybe}, " + review + "}]":                            `case 1 (one): want.decision: "maybe" is none of ["allowed"`,
		"[{name: one, want: {decision: allowed, message: '('}, " + review + "}]":            "missing closing )",
		"[{name: one, want: {decision: allowed}}]":                                          "has neither a review nor a file",
		"[{name: one, want: {decision: allowed}, file: a, " + review + "}]":                 "has a review and a file",
		"[{name: one, want: {decision: allowed}, file: none.json}]":                         "file: ",
		"[{name: one, wants: {}, want: {decision: allowed}, " + review + "}]":               `unknown field "[0].wants"`,
		"[{name: one, want: {decision: allowed}, namespaceLabels: {a: b}, " + review + "}]": "namespaceLabels: are about reviews",
		"[{name: one, want: {decision: allowed}, namespaceLabels: {a: 'b c'}, review: {apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {kind: {version: v1, kind: Pod}}}}]": "namespaceLabels: Invalid value",
		"[{name: one, want: {decision: allowed}, want: {}}]":                                                                             "already set",
		"[{name: one, want: {decision: allowed, code: 403}, " + review + "}]":                                                            "want: code, object",
		"[{name: one, want: {decision: allowed}, review: {kind: Pod}}]":                                                                  `apiVersion "" and kind "Pod" are none of`,
		"[{name: one, want: {decision: allowed}, review: {apiVersion: authentication.k8s.io/v1, kind: TokenReview, spec: {tocken: x}}}]": `unknown field "spec.tocken"`,
		"[{name: one, want: {decision: allowed}, review: {apiVersion: authentication.k8s.io/v1, kind: TokenReview}}]":                    "spec.token: is missing",
		"[{name: one, want: {decision: allowed}, review: {apiVersion: admission.k8s.io/v1, kind: AdmissionReview}}]":                     "request: is missing",
		"[{name: one, want: {decision: allowed}, review: {apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {}}}]":        "request.kind: is missing",
		"[{name: one, want: {decision: allowed}, review: {apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview}}]":             "spec: want either",
		"[{name: one, want: {decision: allowed}, review: {apiVersion: gatehouse.dev/v1, kind: RequestReview}}]":                          "spec: method or path is missing",
	} {
		path := filepath.Join(t.TempDir(), "cases.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngives %v, want %q", content, err, want)
		}
	}
}
