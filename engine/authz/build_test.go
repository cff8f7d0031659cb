package authz

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const (
	janesPolicy = `{"apiVersion":"authorization.k8s.io/v1","kind":"Policy","spec":{"subjects":[{"kind":"User","name":"jane"}],"verbs":["get"],"resources":[{"apiGroups":[""],"resources":["pods"]}]}}`
	joesPolicy  = `{"apiVersion":"authorization.k8s.io/v1","kind":"Policy","spec":{"subjects":[{"kind":"User","name":"joe"}],"verbs":["get"],"resources":[{"apiGroups":[""],"resources":["pods"]}]}}`
)

// hook is a Webhook with everything but a file.
func hook(failurePolicy string) Webhook {
	return Webhook{Version: "v1", AuthorizedTTL: time.Minute, UnauthorizedTTL: time.Minute, Timeout: 10 * time.Second, FailurePolicy: failurePolicy}
}

func TestPoliciesAreFollowed(t *testing.T) {
	file := write(t, temp(t, "policies.jsonl"), janesPolicy)
	chain, log := mustChain(t, Options{Members: []string{"abac"}, PolicyFile: file})
	expect := func(jane, joe authorizer.Decision) {
		t.Helper()
		if got := decision(t, chain, getPods(named("jane"))); got != jane {
			t.Errorf("jane: %v, want %v", got, jane)
		}
		if got := decision(t, chain, getPods(named("joe"))); got != joe {
			t.Errorf("joe: %v, want %v", got, joe)
		}
	}
	expect(authorizer.DecisionAllow, authorizer.DecisionNoOpinion)

	write(t, file, joesPolicy+"\n"+strings.Replace(janesPolicy, "verbs", "verb", 1))
	if said := next(t, log); !strings.Contains(said, "what it held before stays in use") || !strings.Contains(said, file+`:2: not a policy: unknown field "spec.verb"`) {
		t.Errorf("of a broken file the log says: %s", said)
	}
	expect(authorizer.DecisionAllow, authorizer.DecisionNoOpinion)

	write(t, file, joesPolicy)
	next(t, log)
	expect(authorizer.DecisionNoOpinion, authorizer.DecisionAllow)
}

func TestThatEverythingIsAllowedIsSaid(t *testing.T) {
	log := make(chan string, 100)
	mustChain(t, Options{Members: []string{"rbac", "alwaysAllow"}, Logger: slog.New(logged{log})})
	if said := next(t, log); !strings.Contains(said, "whoever is let in may do everything") {
		t.Errorf("the log says: %s", said)
	}
}

func TestAWebhookIsAsked(t *testing.T) {
	asked := newService(t, byName)
	options := Options{Members: []string{"webhook", "alwaysAllow"}, Webhook: hook("Deny")}
	options.Webhook.ConfigFile = asked.kubeconfig(t, temp(t, "kubeconfig"))
	chain, _ := mustChain(t, options)
	for range 3 {
		for name, want := range map[string]authorizer.Decision{
			"allowed": authorizer.DecisionAllow, "denied": authorizer.DecisionDeny, "another": authorizer.DecisionAllow,
		} {
			got, reason, err := chain.Authorize(t.Context(), getPods(named(name, "readers")))
			wantReason := "the service says so of " + name
			if name == "another" {
				wantReason = "" // it is the next member that allows
			}
			if got != want || reason != wantReason || err != nil {
				t.Errorf("%s: %v, %q, %v; want %v, %q", name, got, reason, err, want, wantReason)
			}
		}
	}
	if got := asked.calls(); got != 3 {
		t.Errorf("it was asked %d times, want once for each request", got)
	}
	want := authorizationv1.ResourceAttributes{Namespace: "default", Verb: "get", Version: "v1", Resource: "pods", Name: "a"}
	if got := asked.asked[0]; *got.ResourceAttributes != want || got.Groups[0] != "readers" {
		t.Errorf("it was asked for %+v by %+v, want %+v by readers", got.ResourceAttributes, got.Groups, want)
	}
}

func TestAWebhookThatFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := &service{}
	gone.Server = newService(t, byName).Server
	gone.URL = fmt.Sprintf("https://%s", listener.Addr())
	if err := listener.Close(); err != nil { // so that nobody is there
		t.Fatal(err)
	}
	for policy, want := range map[string]authorizer.Decision{"Deny": authorizer.DecisionDeny, "NoOpinion": authorizer.DecisionAllow} {
		t.Run(policy, func(t *testing.T) {
			options := Options{Members: []string{"webhook", "alwaysAllow"}, Webhook: hook(policy)}
			options.Webhook.ConfigFile = gone.kubeconfig(t, temp(t, "kubeconfig"))
			chain, _ := mustChain(t, options)
			got, _, err := chain.Authorize(t.Context(), getPods(named("jane")))
			if got != want || (err != nil) != (want == authorizer.DecisionDeny) {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestAWebhooksKubeconfigIsFollowed(t *testing.T) {
	never := newService(t, func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Denied: true}
	})
	always := newService(t, func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: true}
	})
	options := Options{Members: []string{"webhook"}, Webhook: hook("Deny")}
	options.Webhook.ConfigFile = never.kubeconfig(t, temp(t, "kubeconfig"))
	chain, log := mustChain(t, options)
	if got := decision(t, chain, getPods(named("jane"))); got != authorizer.DecisionDeny {
		t.Errorf("at first: %v", got)
	}
	always.kubeconfig(t, options.Webhook.ConfigFile)
	next(t, log)
	if got := decision(t, chain, getPods(named("jane"))); got != authorizer.DecisionAllow {
		t.Errorf("by the other service: %v", got)
	}
}

// withWebhook is an AuthorizationConfiguration with a webhook before and RBAC behind it.
func withWebhook(kubeconfig, condition string) string {
	return fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: service.example.org
  webhook:
    timeout: 10s
    authorizedTTL: 1m
    unauthorizedTTL: 1m
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: %s}
    matchConditions:
    - expression: "%s"
- {type: ABAC, name: abac}
- {type: RBAC, name: rbac}
`, kubeconfig, condition)
}

func TestAConfigurationIsFollowed(t *testing.T) {
	dir := t.TempDir()
	asked := newService(t, byName)
	kubeconfig := asked.kubeconfig(t, filepath.Join(dir, "kubeconfig"))
	policies := write(t, filepath.Join(dir, "policies"), janesPolicy)
	file := write(t, filepath.Join(dir, "authz.yaml"), withWebhook(kubeconfig, "request.resourceAttributes.resource != 'pods'"))
	chain, log := mustChain(t, Options{ConfigurationFile: file, PolicyFile: policies})
	expect := func(who string, want authorizer.Decision, calls int) {
		t.Helper()
		if got := decision(t, chain, getPods(named(who))); got != want || asked.calls() != calls {
			t.Errorf("%s: %v after %d calls, want %v after %d", who, got, asked.calls(), want, calls)
		}
	}
	expect("jane", authorizer.DecisionAllow, 0)
	expect("denied", authorizer.DecisionNoOpinion, 0)

	// Now the service is asked about pods.
	write(t, file, withWebhook(kubeconfig, "request.resourceAttributes.resource == 'pods'"))
	next(t, log)
	expect("denied", authorizer.DecisionDeny, 1)
	expect("jane", authorizer.DecisionAllow, 2)

	for name, test := range map[string]struct{ content, want string }{
		"a condition that is none": {withWebhook(kubeconfig, "request.gizmo"), "undefined field 'gizmo'"},
		"a field that is none":     {strings.Replace(withWebhook(kubeconfig, "true"), "timeout", "patience", 1), `unknown field "authorizers[0].webhook.patience"`},
		"a condition of a text":    {withWebhook(kubeconfig, "'true'"), "must evaluate to bool"},
		"a member that is new":     {withWebhook(kubeconfig, "true") + "- {type: Node, name: node}\n", "was not there when the server was started"},
		"a file that is gone":      {withWebhook(kubeconfig+"s", "true"), "kubeconfigs"},
	} {
		write(t, file, test.content)
		if said := next(t, log); !strings.Contains(said, test.want) || !strings.Contains(said, "stays in use") {
			t.Errorf("of %s the log says\n\t%s\nwant\n\t%s", name, said, test.want)
		}
		expect("denied", authorizer.DecisionDeny, 2) // and its answer is still known
	}
	write(t, file, strings.Replace(withWebhook(kubeconfig, "true"), "- {type: ABAC, name: abac}\n", "", 1))
	if said := next(t, log); !strings.Contains(said, "missing required types: [ABAC]") {
		t.Errorf("of a member that is gone the log says\n\t%s", said)
	}
}

func TestAnswersOutliveAChangeElsewhere(t *testing.T) {
	dir := t.TempDir()
	asked := newService(t, byName)
	content := withWebhook(asked.kubeconfig(t, filepath.Join(dir, "kubeconfig")), "true")
	file := write(t, filepath.Join(dir, "authz.yaml"), content)
	chain, log := mustChain(t, Options{ConfigurationFile: file, PolicyFile: write(t, filepath.Join(dir, "policies"), janesPolicy)})
	decision(t, chain, getPods(named("allowed")))
	write(t, file, content+"# changed\n")
	next(t, log)
	decision(t, chain, getPods(named("allowed")))
	if got := asked.calls(); got != 1 {
		t.Errorf("the service was asked %d times, want once", got)
	}
}

func TestWhatCannotBeStartedWithIsNamed(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	kubeconfig := newService(t, byName).kubeconfig(t, filepath.Join(dir, "kubeconfig"))
	noABAC := strings.Replace(withWebhook(kubeconfig, "true"), "- {type: ABAC, name: abac}\n", "", 1)
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"an unknown member":     {Options{Members: []string{"acl"}}, `there is no authorizer of type "acl", want one of`},
		"policies that are not": {Options{Members: []string{"abac"}, PolicyFile: missing}, "cannot read " + missing},
		"no policies":           {Options{Members: []string{"abac"}}, "set authorization.policyFile"},
		"broken policies": {
			Options{Members: []string{"abac"}, PolicyFile: write(t, filepath.Join(dir, "broken"), "\nallow")}, filepath.Join(dir, "broken") + ":2: not JSON",
		},
		"a webhook without a file": {
			Options{Members: []string{"webhook"}, Webhook: Webhook{ConfigFile: missing, FailurePolicy: "Deny", Version: "v1"}},
			"set up the webhook default: cannot read " + missing,
		},
		"a webhook whose file is none": {
			Options{Members: []string{"webhook"}, Webhook: Webhook{ConfigFile: filepath.Join(dir, "broken"), FailurePolicy: "Deny", Version: "v1"}},
			"set up the webhook default: " + filepath.Join(dir, "broken"),
		},
		"a configuration without policies": {
			Options{ConfigurationFile: write(t, filepath.Join(dir, "a.yaml"), withWebhook(kubeconfig, "true"))}, "set authorization.policyFile",
		},
		"policies that nobody decides by": {
			Options{ConfigurationFile: write(t, filepath.Join(dir, "b.yaml"), noABAC), PolicyFile: missing}, "no authorizer of type ABAC is listed",
		},
		"an empty configuration": {
			Options{ConfigurationFile: write(t, filepath.Join(dir, "c.yaml"), "")}, filepath.Join(dir, "c.yaml") + ": authorizers: Required value",
		},
		"another name for RBAC": {
			Options{ConfigurationFile: write(t, filepath.Join(dir, "d.yaml"), strings.Replace(noABAC, "name: rbac", "name: roles", 1))},
			"expected name rbac for authorizer RBAC instead of roles",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := newChain(t, test.options)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is\n\t%v\nwant\n\t%s", err, test.want)
			}
		})
	}
}
