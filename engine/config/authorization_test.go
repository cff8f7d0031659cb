package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMistakesInWhoDecidesNameKeyAndLine(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"an unknown member": {
			"authorization:\n  order: [RBAC]",
			`:2: authorization.order is "RBAC", want names among node, rbac, abac, webhook, alwaysAllow, alwaysDeny, plugins and plugin:NAME; did you mean rbac?`,
		},
		"a member twice": {
			"authorization: {order: [rbac, node, rbac]}",
			`:1: authorization.order is "rbac,node,rbac", want each name once, but rbac stands twice`,
		},
		"no member": {
			"authorization: {order: []}",
			`:1: authorization.order is "", want at least one name; alwaysDeny alone leaves everything to system:masters`,
		},
		"policies that nobody decides by": {
			"authorization:\n  policyFile: policies.jsonl",
			":2: authorization.policyFile is set, but authorization.order (default) does not list abac; list it, or leave the file out",
		},
		"policies that are missing": {
			"authorization:\n  order: [abac]",
			":2: authorization.order lists abac, which needs a file; set authorization.policyFile, or leave abac out",
		},
		"a webhook that nobody asks": {
			"authorization: {webhook: {configFile: hook.kubeconfig}}",
			":1: authorization.webhook.configFile is set, but authorization.order (default) does not list webhook",
		},
		"a webhook that is missing": {
			"authorization: {order: [webhook, rbac]}",
			":1: authorization.order lists webhook, which needs a file; set authorization.webhook.configFile",
		},
		"an order beside the file that has it": {
			"authorization:\n  order: [rbac]\n  configFile: authz.yaml",
			":2: authorization.order cannot be set beside authorization.configFile (",
		},
		"a webhook beside the file that has it": {
			"authorization:\n  configFile: authz.yaml\n  webhook:\n    configFile: hook.kubeconfig",
			":4: authorization.webhook.configFile cannot be set beside authorization.configFile (",
		},
		"a policy that is none": {
			"authorization: {webhook: {failurePolicy: deny}}",
			`:1: authorization.webhook.failurePolicy is "deny", want Deny or NoOpinion`,
		},
		"a time beyond what upstream allows": {
			"authorization: {webhook: {timeout: 1m}}",
			`:1: authorization.webhook.timeout is "1m", want a duration from 100ms to 30s`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.file, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is\n\t%v\nwant\n\t%s", err, test.want)
			}
		})
	}
}

func TestPathsOfPoliciesStartAtTheFileThatNamesThem(t *testing.T) {
	config, err := load(t, "authorization: {order: [abac, webhook], policyFile: a.jsonl, webhook: {configFile: sub/b}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(config.Authorization.PolicyFile)
	want := defaultAuthorization()
	want.Order = []string{MemberABAC, MemberAccessWebhook}
	want.PolicyFile, want.Webhook.ConfigFile = filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "sub", "b")
	if diff := cmp.Diff(want, config.Authorization); diff != "" || !filepath.IsAbs(dir) {
		t.Errorf("paths start at %s (-want +got):\n%s", dir, diff)
	}
}

func TestAConfigurationFileLeavesNoOrder(t *testing.T) {
	config, err := load(t, "authorization: {configFile: /etc/authz.yaml}", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Authorization.Order) > 0 {
		t.Errorf("the order beside the file is %q, want none", config.Authorization.Order)
	}
	// What is printed has to load again.
	text, err := Format(config)
	if err != nil {
		t.Fatal(err)
	}
	again, err := load(t, string(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Authorization, again.Authorization); diff != "" {
		t.Errorf("printed and loaded again (-before +after):\n%s", diff)
	}
}
