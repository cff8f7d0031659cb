package authz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// says is a member that always says the same.
type says struct {
	decision authorizer.Decision
	reason   string
	err      error
}

func (s says) member(name string) member {
	return member{kind: "Test", name: name, tally: &tally{}, authorizer: s.authorizer()}
}

func (s says) authorizer() authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		return s.decision, s.reason, s.err
	})
}

// TestDecidesAsUpstreamsUnion asks upstream's union of the same members.
func TestDecidesAsUpstreamsUnion(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[authorizer.Decision]int{}
	for range 2000 {
		var ours []member
		var theirs []union.NamedAuthorizer
		for i := range random.IntN(5) {
			one := says{decision: authorizer.DecisionNoOpinion}
			if random.IntN(4) == 0 {
				one.decision = authorizer.Decision(random.IntN(2))
			}
			if random.IntN(2) == 0 {
				one.reason = fmt.Sprint("reason ", i)
			}
			if random.IntN(3) == 0 {
				one.err = fmt.Errorf("failure %d", i)
			}
			name := fmt.Sprint("member-", i)
			ours = append(ours, one.member(name))
			theirs = append(theirs, union.NamedAuthorizer{AuthorizerName: name, Authorizer: one.authorizer()})
		}
		upstream, err := union.New(theirs...)
		if err != nil {
			t.Fatal(err)
		}
		want, wantReason, wantErr := upstream.Authorize(t.Context(), getPods(named("jane")))
		made := newMembers(ours)
		chain := &Chain{tallies: &tallies{}, present: func() *members { return made }}
		got, reason, err := chain.Authorize(t.Context(), getPods(named("jane")))
		if got != want || reason != wantReason || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%v, %q, %v; upstream: %v, %q, %v", got, reason, err, want, wantReason, wantErr)
		}
		if conditional := chain.ConditionsAwareAuthorize(t.Context(), getPods(named("jane"))); conditional.Reason() != reason {
			t.Fatalf("with conditions the reason is %q, without %q", conditional.Reason(), reason)
		}
		seen[got]++
	}
	if len(seen) != 3 {
		t.Errorf("decided %v: some of each are needed for a comparison", seen)
	}
}

func TestBeforeAnythingIsKnown(t *testing.T) {
	chain, _ := mustChain(t, Options{Members: []string{"node", "rbac"}})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		request authorizer.AttributesRecord
		want    authorizer.Decision
	}{
		"the server itself":            {getPods(named(user.APIServerUser, user.SystemPrivilegedGroup)), authorizer.DecisionAllow},
		"an administrator":             {getPath(named("root", "a", user.SystemPrivilegedGroup), "post", "/x"), authorizer.DecisionAllow},
		"a probe":                      {getPath(named(user.Anonymous, user.AllUnauthenticated), "get", "/readyz"), authorizer.DecisionAllow},
		"a probe that writes":          {getPath(named(user.Anonymous, user.AllUnauthenticated), "post", "/readyz"), authorizer.DecisionNoOpinion},
		"another path":                 {getPath(named(user.Anonymous, user.AllUnauthenticated), "get", "/readyz/ping"), authorizer.DecisionNoOpinion},
		"somebody":                     {getPods(named("jane", user.AllAuthenticated)), authorizer.DecisionNoOpinion},
		"an object called as the path": {authorizer.AttributesRecord{User: named("jane"), ResourceRequest: true, Verb: "get", Path: "/readyz"}, authorizer.DecisionNoOpinion},
		"a node":                       {getPods(named("system:node:a", user.NodesGroup)), authorizer.DecisionNoOpinion},
	} {
		t.Run(name, func(t *testing.T) {
			// A node waits for the graph, if only as long as its request lasts.
			if got, reason, err := chain.Authorize(ended, test.request); got != test.want || err != nil {
				t.Errorf("%v, %q, %v; want %v", got, reason, err, test.want)
			}
		})
	}
}

func TestOthersAreAskedInOrder(t *testing.T) {
	policies := write(t, temp(t, "policies"), `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"jane","namespace":"*","resource":"pods"}}`)
	for name, test := range map[string]struct {
		members []string
		who     string
		want    authorizer.Decision
		reason  string
	}{
		"who is allowed by the second":     {[]string{"rbac", "abac"}, "jane", authorizer.DecisionAllow, ""},
		"whom nobody allows":               {[]string{"alwaysDeny", "abac"}, "joe", authorizer.DecisionNoOpinion, "alwaysdeny: Everything is forbidden.\nabac: No policy matched."},
		"everybody, if the last does":      {[]string{"abac", "alwaysAllow"}, "joe", authorizer.DecisionAllow, ""},
		"a type as upstream's flags spell": {[]string{"ABAC"}, "jane", authorizer.DecisionAllow, ""},
	} {
		t.Run(name, func(t *testing.T) {
			chain, _ := mustChain(t, Options{Members: test.members, PolicyFile: policies})
			got, reason, err := chain.Authorize(t.Context(), getPods(named(test.who)))
			if got != test.want || reason != test.reason || err != nil {
				t.Errorf("%v, %q, %v; want %v, %q", got, reason, err, test.want, test.reason)
			}
		})
	}
}

func TestWhoDecidedIsAudited(t *testing.T) {
	list := []member{
		says{decision: authorizer.DecisionNoOpinion, reason: "dunno"}.member("first"),
		says{decision: authorizer.DecisionDeny, err: errors.New("broken")}.member("second"),
	}
	for name, test := range map[string]struct {
		list []member
		ask  func(*Chain) authorizer.UnconditionalAuthorizer
		want map[string]string
	}{
		"the one who denied":       {list, (*Chain).Audited, map[string]string{MemberAnnotation: "second"}},
		"nobody, if nobody did":    {list[:1], (*Chain).Audited, nil},
		"nobody, if it is no gate": {list, func(c *Chain) authorizer.UnconditionalAuthorizer { return c }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			made := newMembers(test.list)
			chain := &Chain{tallies: &tallies{}, present: func() *members { return made }}
			ctx := audit.WithAuditContext(t.Context())
			event := audit.AuditContextFrom(ctx)
			if err := event.Init(audit.RequestAuditConfig{Level: auditinternal.LevelMetadata}, nil); err != nil {
				t.Fatal(err)
			}
			_, _, _ = test.ask(chain).Authorize(ctx, getPods(named("jane")))
			got := map[string]string(nil)
			if value, found := event.GetEventAnnotation(MemberAnnotation); found {
				got = map[string]string{MemberAnnotation: value}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecisionsAreCounted(t *testing.T) {
	chain, _ := mustChain(t, Options{Members: []string{"alwaysDeny", "alwaysAllow"}})
	decision(t, chain, getPods(named("root", user.SystemPrivilegedGroup)))
	decision(t, chain, getPods(named("jane")))
	decision(t, chain, getPods(named("jane")))
	want := []Tally{
		{Type: "PrivilegedGroup", Name: "kubernetes.io/system-privileged-group", Allowed: 1, PassedOn: 2},
		{Type: "Paths", Name: "paths", PassedOn: 2},
		{Type: "AlwaysDeny", Name: "alwaysdeny", PassedOn: 2},
		{Type: "AlwaysAllow", Name: "alwaysallow", Allowed: 2},
	}
	if diff := cmp.Diff(want, chain.Tallies()); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// TestNodesMayReadWhatTheirPodsUse is about the graph, which is made when the first node asks.
func TestNodesMayReadWhatTheirPodsUse(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a", UID: "1"},
		Spec: corev1.PodSpec{NodeName: "one", Volumes: []corev1.Volume{
			{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "used"}}},
		}},
	}
	chain, _ := mustChain(t, Options{Members: []string{"node"}}, pod)
	secret := func(node, name string) authorizer.AttributesRecord {
		request := getPods(named("system:node:"+node, user.NodesGroup))
		request.Resource, request.Name = "secrets", name
		return request
	}
	for name, test := range map[string]struct {
		request authorizer.AttributesRecord
		want    authorizer.Decision
	}{
		"what a pod on it uses":      {secret("one", "used"), authorizer.DecisionAllow},
		"what no pod uses":           {secret("one", "unused"), authorizer.DecisionNoOpinion},
		"what another node's uses":   {secret("two", "used"), authorizer.DecisionNoOpinion},
		"who only calls itself node": {getPods(named("system:node:one")), authorizer.DecisionNoOpinion},
	} {
		if got := decision(t, chain, test.request); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	_, _, incomplete, err := chain.RulesFor(t.Context(), named("system:node:one", user.NodesGroup), "default")
	if !incomplete || err == nil {
		t.Error("the rules of a node are not said to be incomplete")
	}
}

// TestAServerWithoutNodesHasNoGraph: it would take memory for each pod.
func TestAServerWithoutNodesHasNoGraph(t *testing.T) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	n := newNodes(factory, func() { t.Error("informers are started") })
	if got, _, _ := n.Authorize(t.Context(), getPods(named("jane", user.AllAuthenticated))); got != authorizer.DecisionNoOpinion {
		t.Errorf("jane: %v", got)
	}
	if len(n.handlers.all) > 0 {
		t.Errorf("%d handlers follow what nobody asks for", len(n.handlers.all))
	}
}

func TestRulesAreThoseOfAllMembers(t *testing.T) {
	policies := write(t, temp(t, "policies"), `{"apiVersion":"authorization.k8s.io/v1","kind":"Policy","spec":{
		"subjects":[{"kind":"User","name":"jane"}],"verbs":["get"],"resources":[{"apiGroups":[""],"resources":["pods"]}]}}`)
	chain, _ := mustChain(t, Options{Members: []string{"abac", "alwaysAllow", "rbac"}, PolicyFile: policies},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "unbound"}})
	got, _, incomplete, err := chain.RulesFor(t.Context(), named("jane"), "default")
	if err != nil || incomplete {
		t.Errorf("incomplete: %v, %v", incomplete, err)
	}
	want := []authorizer.ResourceRuleInfo{
		&authorizer.DefaultResourceRuleInfo{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}},
		&authorizer.DefaultResourceRuleInfo{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
