package examples_test

import (
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"gatehouse/plugins"
)

func TestTeamNamespace(t *testing.T) {
	authorization := host(t, "team-namespace").Authorization(plugins.Selection{})
	const ofBlue = `allowed, authorization plugin "team-namespace" allowed the request: blue-shop belongs to team blue`
	const ofGreen = `allowed, authorization plugin "team-namespace" allowed the request: green-shop belongs to team green`
	for _, test := range []struct {
		name   string
		groups []string
		wish   authorizer.AttributesRecord
		want   string
	}{
		{"a team's namespace", []string{"devs", "team:blue"}, wishIn("blue-shop", "pods"), ofBlue},
		{"whatever is there", []string{"team:blue"}, wishIn("blue-shop", "rolebindings"), ofBlue},
		{"one of several teams", []string{"team:blue", "team:green", "team:red"}, wishIn("green-shop", "pods"), ofGreen},
		{"another team's namespace", []string{"team:blue"}, wishIn("green-shop", "pods"), "no opinion"},
		{"a namespace that is named as the team", []string{"team:blue"}, wishIn("blue", "pods"), "no opinion"},
		{"a namespace that begins as the team", []string{"team:blue"}, wishIn("blueberry-shop", "pods"), "no opinion"},
		{"a namespace that ends as the team", []string{"team:blue"}, wishIn("my-blue-shop", "pods"), "no opinion"},
		{"no team", []string{"devs", "blue", "xteam:blue"}, wishIn("blue-shop", "pods"), "no opinion"},
		{"a team without a name", []string{"team:"}, wishIn("-shop", "pods"), "no opinion"},
		{"the namespace itself", []string{"team:blue"}, wishIn("blue-shop", "namespaces"), "no opinion"},
		{"all namespaces", []string{"team:blue"}, wishIn("", "pods"), "no opinion"},
		{"what is no resource", []string{"team:blue"}, authorizer.AttributesRecord{Verb: "get", Path: "/blue-shop"}, "no opinion"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.wish.User = &user.DefaultInfo{Name: "jane", Groups: test.groups}
			decision, got, err := authorization.Authorize(t.Context(), test.wish)
			if err != nil {
				t.Fatal(err)
			}
			switch decision {
			case authorizer.DecisionAllow:
				got = "allowed, " + got
			case authorizer.DecisionNoOpinion:
				got = "no opinion" + got
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// wishIn is a wish to delete a resource in a namespace.
func wishIn(namespace, resource string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{
		Verb: "delete", APIVersion: "v1", Resource: resource, Namespace: namespace, Name: "web", ResourceRequest: true,
	}
}

func BenchmarkTeamNamespace(b *testing.B) {
	authorization := host(b, "team-namespace").Authorization(plugins.Selection{})
	for _, test := range []struct{ name, namespace string }{{"allowed", "blue-shop"}, {"no opinion", "green-shop"}} {
		b.Run(test.name, func(b *testing.B) {
			wish := wishIn(test.namespace, "pods")
			wish.User = &user.DefaultInfo{Name: "jane", Groups: []string{"system:authenticated", "devs", "team:blue"}}
			for b.Loop() {
				if _, _, err := authorization.Authorize(b.Context(), wish); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
