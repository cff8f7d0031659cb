package abac

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	upstream "k8s.io/kubernetes/pkg/auth/authorizer/abac"
)

func parse(t *testing.T, content string) *Policies {
	t.Helper()
	policies, err := Parse([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

// own is a policy with a spec, on one line.
func own(spec string) string {
	return `{"apiVersion":"authorization.k8s.io/v1","kind":"Policy","spec":` + spec + "}\n"
}

func TestMistakesNameTheirLine(t *testing.T) {
	const fine = `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"jane"}}` + "\n"
	const subjects = `"subjects":[{"kind":"User","name":"jane"}]`
	for name, test := range map[string]struct{ content, want string }{
		"text":                         {"# who may what\n\nallow all\n", "line 3: not JSON: invalid character 'a'"},
		"a list":                       {"[" + strings.TrimSpace(fine) + "]", "line 1: not a policy: "},
		"an end that is missing":       {fine + "{\"kind\":\n\"Policy\",\n", "line 2: the policy that begins here does not end"},
		"a comma that is missing":      {fine + "{\n\"kind\": \"Policy\"\n\"spec\": {}}", "line 4: not JSON: invalid character '\"'"},
		"two on a line":                {fine + strings.TrimSpace(fine) + fine, "line 2: something follows the policy"},
		"a comment behind a policy":    {strings.TrimSpace(fine) + " # jane", "line 1: something follows the policy"},
		"no version":                   {fine + `{"user":"alice","resource":"pods"}`, "line 2: no apiVersion or no kind, want"},
		"another version":              {`{"apiVersion":"v1","kind":"Policy"}`, `line 1: apiVersion is "v1", want`},
		"another kind":                 {`{"apiVersion":"authorization.k8s.io/v1","kind":"Role"}`, `line 1: kind is "Role", want "Policy"`},
		"an unknown field of upstream": {strings.Replace(fine, "user", "usr", 1), `line 1: not a policy: unknown field "spec.usr"`},
		"a field of upstream twice":    {strings.Replace(fine, `"user":"jane"`, `"user":"jane","user":"joe"`, 1), `duplicate field "spec.user"`},
		"a field of the wrong type":    {strings.Replace(fine, `"jane"`, "1", 1), "line 1: not a policy: "},
		"an unknown field":             {own(`{` + subjects + `,"verb":["get"],"verbs":["get"]}`), `line 1: not a policy: unknown field "spec.verb"`},
		"a field in capitals":          {own(`{` + subjects + `,"Verbs":["get"]}`), `unknown field "spec.Verbs"`},
		"no subjects":                  {own(`{"verbs":["get"],"nonResourceURLs":["*"]}`), "line 1: spec.subjects is empty"},
		"a subject without a name":     {own(`{"subjects":[{"kind":"User"}],"verbs":["*"],"nonResourceURLs":["*"]}`), "spec.subjects[0]: no name"},
		"a subject of another kind":    {own(`{"subjects":[{"kind":"user","name":"a"}],"verbs":["*"]}`), `spec.subjects[0]: kind is "user", want User,`},
		"a user in a namespace": {
			own(`{"subjects":[{"kind":"User","name":"a","namespace":"b"}],"verbs":["*"]}`), "spec.subjects[0]: a User is in no namespace",
		},
		"a service account in none": {
			own(`{"subjects":[{"kind":"ServiceAccount","name":"a"}],"verbs":["*"]}`), "spec.subjects[0]: a ServiceAccount needs its namespace",
		},
		"every service account": {
			own(`{"subjects":[{"kind":"ServiceAccount","name":"*","namespace":"b"}],"verbs":["*"]}`), "system:serviceaccounts:b",
		},
		"no verbs":       {own(`{` + subjects + `,"nonResourceURLs":["*"]}`), "line 1: spec.verbs is empty"},
		"an empty verb":  {own(`{` + subjects + `,"verbs":["get",""],"nonResourceURLs":["*"]}`), "spec.verbs is empty or has an empty item"},
		"nothing at all": {own(`{` + subjects + `,"verbs":["get"]}`), "neither spec.resources nor spec.nonResourceURLs"},
		"resources without groups": {
			own(`{` + subjects + `,"verbs":["get"],"resources":[{"resources":["pods"]}]}`), "spec.resources[0].apiGroups is missing",
		},
		"groups without resources": {
			own(`{` + subjects + `,"verbs":["get"],"resources":[{"apiGroups":[""]}]}`), "spec.resources[0].resources is empty",
		},
		"an empty list of namespaces": {
			own(`{` + subjects + `,"verbs":["get"],"resources":[{"apiGroups":[""],"resources":["pods"]}],"namespaces":[]}`), "spec.namespaces is empty",
		},
		"namespaces of paths": {
			own(`{` + subjects + `,"verbs":["get"],"nonResourceURLs":["*"],"namespaces":["a"]}`), "spec.namespaces without spec.resources",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(test.content))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is\n\t%v\nwant\n\t%s", err, test.want)
			}
		})
	}
}

func TestOwnPolicies(t *testing.T) {
	const pods = `"resources":[{"apiGroups":[""],"resources":["pods"]}]`
	jane := &user.DefaultInfo{Name: "jane.doe@example.com", Groups: []string{"readers", user.AllAuthenticated}}
	robot := &user.DefaultInfo{Name: "system:serviceaccount:web:robot", Groups: []string{user.AllAuthenticated}}
	nobody := &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}
	const janes = `{"subjects":[{"kind":"User","name":"jane.doe@example.com"}],` + pods + `,"verbs":["get","list","watch"]}`
	everybodys := strings.Replace(janes, "jane.doe@example.com", "*", 1)
	webs := strings.Replace(janes, "}]", `}],"namespaces":["web","db"]`, 1)
	request := func(who user.Info, verb, namespace, resource string) authorizer.AttributesRecord {
		resource, subresource, _ := strings.Cut(resource, "/")
		return authorizer.AttributesRecord{User: who, ResourceRequest: true, Verb: verb, Namespace: namespace, Resource: resource,
			Subresource: subresource, Name: "a"}
	}
	path := func(who user.Info, verb, path string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{User: who, Verb: verb, Path: path}
	}
	for name, test := range map[string]struct {
		spec    string
		request authorizer.AttributesRecord
		allowed bool
	}{
		"the user it is about":            {janes, request(jane, "get", "web", "pods"), true},
		"across namespaces":               {janes, request(jane, "list", "", "pods"), true},
		"another user":                    {janes, request(robot, "get", "web", "pods"), false},
		"no user":                         {janes, request(nil, "get", "web", "pods"), false},
		"another verb":                    {janes, request(jane, "delete", "web", "pods"), false},
		"another resource":                {janes, request(jane, "get", "web", "secrets"), false},
		"a subresource":                   {janes, request(jane, "get", "web", "pods/log"), false},
		"a path":                          {janes, path(jane, "get", "/version"), false},
		"one of its namespaces":           {webs, request(jane, "get", "db", "pods"), true},
		"a namespace that is none of its": {webs, request(jane, "get", "kube-system", "pods"), false},
		"all namespaces at once":          {webs, request(jane, "list", "", "pods"), false},
		"everybody, who has credentials":  {everybodys, request(robot, "get", "web", "pods"), true},
		"everybody, who has none":         {everybodys, request(nobody, "get", "web", "pods"), false},
		"a member of a group": {
			strings.Replace(janes, `"User","name":"jane.doe@example.com"`, `"Group","name":"readers"`, 1), request(jane, "get", "web", "pods"), true,
		},
		"no member of a group": {
			strings.Replace(janes, `"User","name":"jane.doe@example.com"`, `"Group","name":"readers"`, 1), request(robot, "get", "web", "pods"), false,
		},
		"a service account": {
			strings.Replace(janes, `"User","name":"jane.doe@example.com"`, `"ServiceAccount","namespace":"web","name":"robot"`, 1),
			request(robot, "get", "db", "pods"), true,
		},
		"a service account of another namespace": {
			strings.Replace(janes, `"User","name":"jane.doe@example.com"`, `"ServiceAccount","namespace":"db","name":"robot"`, 1),
			request(robot, "get", "db", "pods"), false,
		},
		"a namespace called as all": {
			strings.Replace(janes, "}]", `}],"namespaces":["*"]`, 1), request(jane, "list", "", "pods"), true,
		},
		"a path below": {
			`{"subjects":[{"kind":"Group","name":"readers"}],"verbs":["get"],"nonResourceURLs":["/logs/*"]}`, path(jane, "get", "/logs/a"), true,
		},
		"a path beside": {
			`{"subjects":[{"kind":"Group","name":"readers"}],"verbs":["get"],"nonResourceURLs":["/logs/*"]}`, path(jane, "get", "/log"), false,
		},
		"a path, by another verb": {
			`{"subjects":[{"kind":"Group","name":"readers"}],"verbs":["get"],"nonResourceURLs":["/logs/*"]}`, path(jane, "post", "/logs/a"), false,
		},
		"a name among its names": {
			strings.Replace(janes, `["pods"]`, `["pods"],"resourceNames":["a"]`, 1), request(jane, "get", "web", "pods"), true,
		},
		"a name that is none of its": {
			strings.Replace(janes, `["pods"]`, `["pods"],"resourceNames":["b"]`, 1), request(jane, "get", "web", "pods"), false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			decision, reason, err := parse(t, "# a comment\n\n"+own(test.spec)).Authorize(t.Context(), test.request)
			want, why := authorizer.DecisionNoOpinion, "No policy matched."
			if test.allowed {
				want, why = authorizer.DecisionAllow, "ABAC: allowed by the policy on line 3"
			}
			if decision != want || reason != why || err != nil {
				t.Errorf("%v, %q, %v; want %v, %q", decision, reason, err, want, why)
			}
		})
	}
}

func TestRulesOfAUser(t *testing.T) {
	policies := parse(t, own(`{
		"subjects": [{"kind": "User", "name": "jane"}],
		"verbs": ["get"],
		"resources": [{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}],
		"namespaces": ["web"],
		"nonResourceURLs": ["/version"]
	}`)+`{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"jane","namespace":"*","apiGroup":"apps","resource":"deployments","readonly":true}}
	`+own(`{"subjects":[{"kind":"User","name":"joe"}],"verbs":["*"],"nonResourceURLs":["*"]}`))
	deployments := &authorizer.DefaultResourceRuleInfo{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{"apps"}, Resources: []string{"deployments"}}
	pods := &authorizer.DefaultResourceRuleInfo{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}, ResourceNames: []string{"a"}}
	for namespace, want := range map[string][]authorizer.ResourceRuleInfo{"web": {deployments, pods}, "db": {deployments}} {
		resources, others, incomplete, err := policies.RulesFor(t.Context(), &user.DefaultInfo{Name: "jane"}, namespace)
		if err != nil || incomplete {
			t.Errorf("incomplete: %v, %v", incomplete, err)
		}
		if diff := cmp.Diff(want, resources); diff != "" {
			t.Errorf("resources in %s (-want +got):\n%s", namespace, diff)
		}
		paths := []authorizer.NonResourceRuleInfo{&authorizer.DefaultNonResourceRuleInfo{Verbs: []string{"get"}, NonResourceURLs: []string{"/version"}}}
		if diff := cmp.Diff(paths, others); diff != "" {
			t.Errorf("paths (-want +got):\n%s", diff)
		}
	}
}

// TestUpstreamsPoliciesMeanTheSame asks upstream's authorizer about the same file.
func TestUpstreamsPoliciesMeanTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	var content strings.Builder
	for range 12 {
		fmt.Fprintf(&content, `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":%q,"group":%q,"readonly":%s,"apiGroup":%q,"resource":%q,"namespace":%q,"nonResourcePath":%q}}`+"\n",
			pick("", "", "jane", "joe", "*"), pick("", "", "readers", "*"), pick("true", "false"), pick("", "*", "apps"), pick("", "pods", "*"),
			pick("", "web", "*"), pick("", "", "/version", "/logs/*", "*"))
	}
	file := filepath.Join(t.TempDir(), "policies.jsonl")
	if err := os.WriteFile(file, []byte(content.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, err := upstream.NewFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ours := parse(t, content.String())
	seen := map[authorizer.Decision]int{}
	for range 5000 {
		var groups []string
		for range random.IntN(3) {
			groups = append(groups, pick("readers", "writers", user.AllAuthenticated))
		}
		request := authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: pick("jane", "joe", "ann"), Groups: groups}, ResourceRequest: random.IntN(2) == 0,
			Verb: pick("get", "list", "create"), Namespace: pick("", "web", "db"), APIGroup: pick("", "apps"), Resource: pick("pods", "secrets"),
			Path: pick("/version", "/logs/a", "/api"),
		}
		want, wantReason, _ := theirs.Authorize(t.Context(), request)
		got, reason, err := ours.Authorize(t.Context(), request)
		if got != want || reason != wantReason || err != nil {
			t.Fatalf("%+v: %v, %q, %v; upstream: %v, %q", request, got, reason, err, want, wantReason)
		}
		seen[got]++
	}
	if len(seen) != 2 {
		t.Errorf("decided %v: some of each are needed for a comparison", seen)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(own(`{"subjects":[{"kind":"User","name":"*"}],"verbs":["*"],"resources":[{"apiGroups":["*"],"resources":["*"]}]}`)))
	f.Add([]byte("# c\n{\n}\n"))
	f.Add([]byte(`{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"*"}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		policies, err := Parse(content)
		if err != nil {
			return
		}
		anonymous := authorizer.AttributesRecord{User: &user.DefaultInfo{}, ResourceRequest: true, Verb: "get", Resource: "pods"}
		if decision, _, _ := policies.Authorize(t.Context(), anonymous); decision == authorizer.DecisionAllow {
			t.Error("somebody without a name and groups may do something")
		}
	})
}
