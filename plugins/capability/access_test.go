package capability_test

import (
	"context"
	"errors"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"

	"gatehouse/plugins/capability"
)

// judge allows jane, and does not know nobody. It tells whether the question is known to be the plugin's.
type judge struct{}

func (judge) Review(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (authorizationv1.SubjectAccessReviewStatus, error) {
	if spec.User == "nobody" {
		return authorizationv1.SubjectAccessReviewStatus{}, errors.New("spec.user: nobody is nobody")
	}
	status := authorizationv1.SubjectAccessReviewStatus{Allowed: spec.User == "jane" && spec.ResourceAttributes.Verb == "get"}
	if capability.Asks(ctx, "guest") && !capability.Asks(ctx, "other") {
		status.Reason = "asked by guest"
	}
	return status, nil
}

func TestWhoMayDoWhatIsTheServersAnswer(t *testing.T) {
	o := granted(t, capability.Host{Access: judge{}}, "{authz: {canI: true}}")
	for _, test := range []struct{ name, payload, want string }{
		{"somebody who may", `{"user":"jane","groups":["devs"],"resourceAttributes":{"verb":"get","resource":"pods"}}`, `{"allowed":true,"reason":"asked by guest"}`},
		{"somebody who may not", `{"user":"joe","resourceAttributes":{"verb":"get","resource":"pods"}}`, `{"allowed":false,"reason":"asked by guest"}`},
		{"a question that is none", `{"user":"nobody"}`, "error: spec.user: nobody is nobody"},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.payload, o.ask("authz.can_i", test.payload), test.want) })
	}
	expect(t, "no server", granted(t, capability.Host{}, "{authz: {canI: true}}").ask("authz.can_i", "{}"), "error: there are no authorizers to ask here")
}

func TestWhoeverAsksIsKnownThroughOthers(t *testing.T) {
	first := capability.Asked(t.Context(), "a")
	second, other := capability.Asked(first, "b"), capability.Asked(first, "c")
	for _, test := range []struct {
		name   string
		ctx    context.Context
		plugin string
		want   bool
	}{
		{"nobody has asked", t.Context(), "a", false},
		{"the plugin itself", first, "a", true},
		{"the one that began", second, "a", true},
		{"the one that went on", second, "b", true},
		{"one that another way leads to", other, "b", false},
	} {
		if got := capability.Asks(test.ctx, test.plugin); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
