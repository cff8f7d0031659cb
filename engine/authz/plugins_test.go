package authz

import (
	"context"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// denying is plugins of which one denies everything that joe wants.
type denying struct {
	authorizer.Authorizer // what is not here is not called
	reason                string
}

func (d denying) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetUser().GetName() == "joe" {
		return authorizer.DecisionDeny, d.reason, nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func (d denying) RulesFor(context.Context, user.Info, string) (
	[]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error,
) {
	return nil, nil, true, nil
}

func TestPluginsAreAskedWhereTheyAreListed(t *testing.T) {
	file := write(t, temp(t, "policies.jsonl"), joesPolicy)
	config := write(t, temp(t, "authorization.yaml"),
		"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{type: ABAC, name: abac}]\n")
	plugins := map[string]PluginMember{"plugins": denying{reason: "one of all"}, "plugin:a": denying{reason: "the one called a"}}
	for _, test := range []struct {
		name    string
		options Options
		want    authorizer.Decision
		reason  string
	}{
		{"before a role", Options{Members: []string{"plugins", "abac"}}, authorizer.DecisionDeny, "one of all"},
		{"behind a role", Options{Members: []string{"abac", "plugins"}}, authorizer.DecisionAllow, "ABAC: allowed by the policy on line 1"},
		{"first when they are not listed", Options{Members: []string{"abac"}}, authorizer.DecisionDeny, "one of all"},
		{"one before the others", Options{Members: []string{"plugin:a", "plugins", "abac"}}, authorizer.DecisionDeny, "the one called a"},
		{"the others before one that is listed last", Options{Members: []string{"abac", "plugin:a"}}, authorizer.DecisionDeny, "one of all"},
		{"first beside a file that cannot list them", Options{ConfigurationFile: config}, authorizer.DecisionDeny, "one of all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.options.PolicyFile, test.options.Plugins = file, plugins
			chain, _ := mustChain(t, test.options)
			got, reason, err := chain.Authorize(t.Context(), getPods(named("joe")))
			if got != test.want || reason != test.reason || err != nil {
				t.Errorf("got %v, %q, %v; want %v, %q", got, reason, err, test.want, test.reason)
			}
			if got := decision(t, chain, getPods(named("joe", "system:masters"))); got != authorizer.DecisionAllow {
				t.Errorf("a member of system:masters is %v", got)
			}
			if _, _, incomplete, _ := chain.RulesFor(t.Context(), named("joe"), "default"); !incomplete {
				t.Error("the rules are said to be complete")
			}
		})
	}
}
