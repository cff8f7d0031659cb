package plugins_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
)

// says is the files of a plugin that answers every question about who and whether with answer.
func says(t testing.TB, name, answer, extra string) files {
	return files{
		name + ".wasm": string(guesttest.Read(t, "says")),
		name + ".yaml": "settings: " + answer + "\n" + extra,
	}
}

// access is a SubjectAccessReview with that status.
func access(status string) string {
	return `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":` + status + `}`
}

// getPod is jane's wish to get a Pod.
func getPod() authorizer.AttributesRecord {
	return authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: "jane", UID: "42", Groups: []string{"devs"}, Extra: map[string][]string{"example.com/team": {"blue"}}},
		Verb: "get", APIVersion: "v1", Resource: "pods", Namespace: "default", Name: "web", ResourceRequest: true,
	}
}

// decide tells a decision as text.
func (h *host) decide(ctx context.Context, a authorizer.Attributes) string {
	h.t.Helper()
	decision, reason, err := h.Authorization(plugins.Selection{}).Authorize(ctx, a)
	if err != nil {
		h.t.Errorf("an error beside the decision: %v", err)
	}
	word := map[authorizer.Decision]string{
		authorizer.DecisionAllow: "allowed", authorizer.DecisionDeny: "denied", authorizer.DecisionNoOpinion: "no opinion"}[decision]
	if reason == "" {
		return word
	}
	return word + ", " + reason
}

func TestAnAuthorizersAnswerIsADecision(t *testing.T) {
	const failed = `denied, failed calling authorization plugin "judge" (revision `
	for _, test := range []struct{ name, answer, want string }{
		{"allowed", access(`{"allowed":true}`), `allowed, authorization plugin "judge" allowed the request`},
		{"denied", access(`{"allowed":false,"denied":true,"reason":"not\nyours"}`),
			`denied, authorization plugin "judge" denied the request: not yours`},
		{"denied without a reason", access(`{"denied":true}`), `denied, authorization plugin "judge" denied the request`},
		{"no opinion", access(`{}`), "no opinion"},
		{"no opinion with a reason", access(`{"allowed":false,"reason":"not mine","evaluationError":"trouble"}`),
			`no opinion, authorization plugin "judge": not mine; trouble`},
		{"allowed in spite of trouble", access(`{"allowed":true,"evaluationError":"trouble"}`),
			`allowed, authorization plugin "judge" allowed the request: trouble`},
		{"both is a failure", access(`{"allowed":true,"denied":true}`), "its answer both allows and denies"},
		{"no status is a failure", `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview"}`, "its answer has no status"},
		{"another kind is a failure", `{"apiVersion":"authorization.k8s.io/v1","kind":"LocalSubjectAccessReview","status":{"allowed":true}}`,
			`its kind is "LocalSubjectAccessReview"`},
		{"another version is a failure", `{"apiVersion":"authorization.k8s.io/v1beta1","kind":"SubjectAccessReview","status":{"allowed":true}}`,
			`its apiVersion "authorization.k8s.io/v1beta1"`},
		{"wrong types are a failure", access(`{"allowed":"yes"}`), "its answer is no SubjectAccessReview: status:"},
		{"its own failure is one", `{"apiVersion":"v1","kind":"Status","status":"Failure","message":"my list is old"}`, "it says: my list is old"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, says(t, "judge", test.answer, "roles: [authorize]"))
			got := h.decide(t.Context(), getPod())
			if !strings.Contains(test.name, "failure") && !strings.Contains(test.name, "its own") {
				if got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
				return
			}
			if !strings.HasPrefix(got, failed+h.only().Revision+"): ") || !strings.Contains(got, test.want) {
				t.Errorf("got  %s\nwant %s…%s…", got, failed, test.want)
			}
			if !strings.Contains(h.log.String(), "plugin failed, the request is denied") || !strings.Contains(h.log.String(), "user=jane") {
				t.Errorf("the log does not tell:\n%s", h.log)
			}
		})
	}
}

func TestTheFirstAuthorizerWithAnOpinionDecides(t *testing.T) {
	h := open(t, merge(
		says(t, "a", access(`{"reason":"a does not know"}`), "roles: [authorize]"),
		says(t, "b", access(`{"reason":"b does not know"}`), "roles: [authorize]"),
		says(t, "c", access(`{"denied":true}`), "roles: [authorize]\nauthorization: {rules: [{users: [jane]}]}"),
		says(t, "d", access(`{"allowed":true}`), "roles: [authorize]"),
	))
	if got, want := h.decide(t.Context(), getPod()), `denied, authorization plugin "c" denied the request`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	joe := getPod()
	joe.User = &user.DefaultInfo{Name: "joe"}
	if got, want := h.decide(t.Context(), joe), `allowed, authorization plugin "d" allowed the request`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, selection := range map[string]plugins.Selection{"all but two": plugins.AllBut([]string{"c", "d"})} {
		if decision, reason, _ := h.Authorization(selection).Authorize(t.Context(), getPod()); decision != authorizer.DecisionNoOpinion ||
			reason != "authorization plugin \"a\": a does not know\nauthorization plugin \"b\": b does not know" {
			t.Errorf("%s decide %v, %q", name, decision, reason)
		}
	}
	if decision, _, _ := h.Authorization(plugins.Named("d")).Authorize(t.Context(), getPod()); decision != authorizer.DecisionAllow {
		t.Errorf("d alone decides %v", decision)
	}
	if decision, _, _ := h.Authorization(plugins.Named("e")).Authorize(t.Context(), getPod()); decision != authorizer.DecisionNoOpinion {
		t.Errorf("a plugin that is not there decides %v", decision)
	}
}

func TestABrokenAuthorizerDeniesWhatItIsAskedAbout(t *testing.T) {
	const elsewhere = "authorization: {rules: [{namespaces: [elsewhere]}]}"
	for _, test := range []struct {
		name    string
		content files
		want    string
	}{
		{"that never loaded", files{"guest.wasm": "oops"}, `denied, failed calling authorization plugin "guest": it did not load: `},
		{"that never loaded, and is not asked", files{"guest.wasm": "oops", "guest.yaml": elsewhere}, "no opinion"},
		{"that never loaded, and is no authorizer", files{"guest.wasm": "oops", "guest.yaml": "roles: [admit]"}, "no opinion"},
		{"whose module exports another role", files{"guest.wasm": string(guesttest.Read(t, "start-trap"))}, "no opinion"},
		{"whose configuration cannot be read", files{"guest.wasm": string(guesttest.Read(t, "says")), "guest.yaml": "a: [b"},
			`denied, failed calling authorization plugin "guest": it did not load: guest.yaml: is no YAML`},
		{"that is to be ignored", files{"guest.wasm": "oops", "guest.yaml": "failurePolicy: Ignore"}, "no opinion"},
		{"that traps", files{"guest.wasm": string(guesttest.Read(t, "two-roles"))}, "authorize gave no answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, test.content)
			w := &plugintest.Warnings{}
			got := h.decide(w.Context(t.Context()), getPod())
			if test.want == "no opinion" && got != test.want || !strings.Contains(got, test.want) || strings.Contains(got, h.dir) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if ignored := strings.Contains(test.content["guest.yaml"], "Ignore"); ignored != (len(w.Texts) == 1) {
				t.Errorf("warnings: %v", w.Texts)
			}
		})
	}
}

func TestAnAuthorizerIsToldAsAWebhookWouldBe(t *testing.T) {
	h := open(t, files{
		"echo.wasm": string(guesttest.Read(t, "echo")),
		"echo.yaml": "roles: [authorize]\nsettings: {prefix: '{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SubjectAccessReview\",\"status\":{\"denied\":true,\"reason\":\"'}",
	})
	full := getPod()
	full.APIGroup, full.Subresource = "apps", "scale"
	full.FieldSelectorRequirements = fields.Requirements{{Operator: "=", Field: "metadata.name", Value: "web"}, {Operator: "!=", Field: "a", Value: "b"}}
	requirement, err := labels.NewRequirement("app", "in", []string{"web"})
	if err != nil {
		t.Fatal(err)
	}
	full.LabelSelectorRequirements = labels.Requirements{*requirement}
	for _, test := range []struct {
		name string
		ask  authorizer.Attributes
		want string
	}{
		{"for a resource", full, `'spec':{'resourceAttributes':{'namespace':'default','verb':'get','group':'apps','version':'v1','resource':'pods',` +
			`'subresource':'scale','name':'web','fieldSelector':{'requirements':[{'key':'metadata.name','operator':'In','values':['web']},` +
			`{'key':'a','operator':'NotIn','values':['b']}]},'labelSelector':{'requirements':[{'key':'app','operator':'In','values':['web']}]}},` +
			`'user':'jane','groups':['devs'],'extra':{'example.com/team':['blue']},'uid':'42'},'status':{'allowed':false}}`},
		{"for a path", authorizer.AttributesRecord{User: &user.DefaultInfo{Name: "joe"}, Verb: "get", Path: "/metrics"},
			`'spec':{'nonResourceAttributes':{'path':'/metrics','verb':'get'},'user':'joe'},'status':{'allowed':false}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			const begin = `denied, authorization plugin "echo" denied the request: ` +
				`{'kind':'SubjectAccessReview','apiVersion':'authorization.k8s.io/v1','metadata':{},`
			if diff := cmp.Diff(begin+test.want, h.decide(t.Context(), test.ask)); diff != "" {
				t.Errorf("what it is asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRulesSayWhatAnAuthorizerIsAskedAbout(t *testing.T) {
	path := authorizer.AttributesRecord{User: getPod().User, Verb: "get", Path: "/debug/pprof"}
	log, cluster := getPod(), getPod()
	log.Subresource = "log"
	cluster.Namespace, cluster.Resource, cluster.Name, cluster.Verb = "", "nodes", "", "list"
	ask := []authorizer.Attributes{getPod(), log, cluster, path}
	for rule, want := range map[string]string{
		"{}":                                       "pod log nodes path",
		"{users: [jane]}":                          "pod log nodes path",
		"{users: [joe, 'j*']}":                     "pod log nodes path",
		"{users: [joe]}":                           "",
		"{groups: [devs]}":                         "pod log nodes path",
		"{groups: [ops]}":                          "",
		"{users: [jane], groups: [ops]}":           "",
		"{verbs: [get]}":                           "pod log path",
		"{apiGroups: ['']}":                        "pod log nodes",
		"{apiGroups: [apps]}":                      "",
		"{resources: [pods]}":                      "pod",
		"{resources: [pods/log]}":                  "log",
		"{resources: [pods/*]}":                    "log",
		"{resources: ['*/log']}":                   "log",
		"{resources: ['*']}":                       "pod log nodes",
		"{resources: [nodes, pods]}":               "pod nodes",
		"{namespaces: [default]}":                  "pod log",
		"{namespaces: ['']}":                       "nodes",
		"{namespaces: ['def*']}":                   "pod log",
		"{names: [web]}":                           "pod log",
		"{paths: ['/debug/*']}":                    "path",
		"{paths: [/debug]}":                        "",
		"{verbs: [list]}, {paths: [/debug/pprof]}": "nodes path",
		"{resources: [pods], names: [other]}, {users: [joe]}": "",
	} {
		t.Run(rule, func(t *testing.T) {
			h := open(t, says(t, "judge", access(`{"denied":true}`), "roles: [authorize]\nauthorization: {rules: ["+rule+"]}"))
			var got []string
			for i, name := range []string{"pod", "log", "nodes", "path"} {
				if h.decide(t.Context(), ask[i]) != "no opinion" {
					got = append(got, name)
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("asked about %v, want %s", got, want)
			}
		})
	}
}

func TestTheServersOwnRequestsAreNotForAuthorizers(t *testing.T) {
	type own struct{}
	h := open(t, says(t, "judge", access(`{"denied":true}`), "roles: [authorize]"), func(o *plugins.Options) {
		o.Exempt = func(ctx context.Context) bool { return ctx.Value(own{}) != nil }
	})
	if got := h.decide(context.WithValue(t.Context(), own{}, true), getPod()); got != "no opinion" {
		t.Errorf("got %s", got)
	}
	if got := h.decide(t.Context(), getPod()); !strings.HasPrefix(got, "denied") {
		t.Errorf("got %s for a client's request", got)
	}
}

func TestRulesAreIncompleteWithAnAuthorizer(t *testing.T) {
	for name, content := range map[string]files{
		"nobody":         nil,
		"a mere gate":    files{"guest.wasm": string(guesttest.Allow(t, 'a'))},
		"an authorizer":  says(t, "judge", access(`{}`), ""),
		"broken for now": {"guest.wasm": "oops"},
	} {
		t.Run(name, func(t *testing.T) {
			want := name == "an authorizer" || name == "broken for now"
			_, _, incomplete, err := open(t, content).Authorization(plugins.Selection{}).RulesFor(t.Context(), getPod().User, "default")
			if incomplete != want || (err != nil) != want {
				t.Errorf("incomplete: %t, %v", incomplete, err)
			}
		})
	}
}

// BenchmarkAuthorize is what loaded plugins cost a request that they are not asked about.
func BenchmarkAuthorize(b *testing.B) {
	content := files{}
	for i := range 100 {
		content = merge(content, says(b, fmt.Sprintf("judge-%d", i), access(`{"denied":true}`),
			"authorization: {rules: [{verbs: [delete], resources: [secrets]}]}\nauthentication: {tokens: false, requests: {headers: [X-Api-Key]}}"))
	}
	set := openFor(b, content)
	b.Run("whether", func(b *testing.B) {
		member := set.Authorization(plugins.Selection{})
		var a authorizer.Attributes = getPod()
		for b.Loop() {
			if decision, reason, _ := member.Authorize(b.Context(), a); decision != authorizer.DecisionNoOpinion {
				b.Fatal(reason)
			}
		}
	})
	b.Run("who", func(b *testing.B) {
		member := set.Authentication(plugins.Selection{}, nil)
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "https://gatehouse.example.com/api", nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, ok, err := member.AuthenticateRequest(r); ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
}
