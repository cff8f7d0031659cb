package examples_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"gatehouse/plugins"
)

func TestGuestPass(t *testing.T) {
	set := host(t, "guest-pass")
	t.Run("lets in", func(t *testing.T) { testGuests(t, set) })
	t.Run("keeps from changing", func(t *testing.T) { testLooking(t, set) })
}

func testGuests(t *testing.T, set *plugins.Set) {
	sign := func(pass string) string {
		mac := hmac.New(sha256.New, []byte("change me before you use me"))
		mac.Write([]byte(pass))
		return "pass." + pass + "." + hex.EncodeToString(mac.Sum(nil))
	}
	const wrong = `authentication plugin "guest-pass": `
	for _, test := range []struct{ name, token, want string }{
		{"a pass", sign("kim.4102444800"), "guest:kim"},
		{"a pass that has ended", sign("kim.1"), wrong + "the pass has ended"},
		{"a pass without an end", sign("kim"), wrong + "the pass is malformed"},
		{"a pass without a name", sign(".4102444800"), wrong + "the pass is malformed"},
		{"a pass with another name", "pass.joe" + sign("kim.4102444800")[len("pass.kim"):], wrong + "the pass is not signed by this house"},
		{"a pass without a signature", "pass.", wrong + "the pass has no signature"},
		{"a pass with half a signature", sign("kim.4102444800")[:40], wrong + "the pass is not signed by this house"},
		{"another token", "eyJ.abc.def", "invalid bearer token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://gatehouse.example.com/api", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+test.token)
			response, ok, err := set.Authentication(plugins.Selection{}, nil).AuthenticateRequest(r)
			got := "nobody"
			switch {
			case err != nil:
				got = err.Error()
			case ok:
				got = response.User.GetName()
				if groups := response.User.GetGroups(); len(groups) != 1 || groups[0] != "guests" {
					t.Errorf("the groups are %v", groups)
				}
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func testLooking(t *testing.T, set *plugins.Set) {
	guest, jane := &user.DefaultInfo{Name: "guest:kim", Groups: []string{"guests"}}, &user.DefaultInfo{Name: "jane"}
	for _, test := range []struct {
		name string
		wish authorizer.AttributesRecord
		want authorizer.Decision
	}{
		{"to look", authorizer.AttributesRecord{User: guest, Verb: "list", Resource: "pods", ResourceRequest: true}, authorizer.DecisionNoOpinion},
		{"to delete", authorizer.AttributesRecord{User: guest, Verb: "delete", Resource: "pods", ResourceRequest: true}, authorizer.DecisionDeny},
		{"to create", authorizer.AttributesRecord{User: guest, Verb: "create", Resource: "pods", ResourceRequest: true}, authorizer.DecisionDeny},
		{"to ask who they are", authorizer.AttributesRecord{User: guest, Verb: "create", APIGroup: "authentication.k8s.io",
			Resource: "selfsubjectreviews", ResourceRequest: true}, authorizer.DecisionNoOpinion},
		{"to post", authorizer.AttributesRecord{User: guest, Verb: "post", Path: "/"}, authorizer.DecisionDeny},
		{"to delete, as no guest", authorizer.AttributesRecord{User: jane, Verb: "delete", Resource: "pods", ResourceRequest: true},
			authorizer.DecisionNoOpinion},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, reason, err := set.Authorization(plugins.Selection{}).Authorize(t.Context(), test.wish)
			if got != test.want || err != nil {
				t.Errorf("got %v, %q, %v, want %v", got, reason, err, test.want)
			}
		})
	}
}
