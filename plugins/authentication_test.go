package plugins_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
)

// token is a TokenReview with that status, reviewed a RequestReview.
func token(status string) string {
	return `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":` + status + `}`
}
func reviewed(status string) string {
	return `{"apiVersion":"gatehouse.dev/v1","kind":"RequestReview","status":` + status + `}`
}

// byHeader has a plugin be asked about requests with the header X-Api-Key.
const byHeader = "roles: [authenticate]\nauthentication: {tokens: false, requests: {headers: [x-api-key]}}"

// withToken and withKey are requests.
func withToken() *http.Request { return request("Authorization", "Bearer s3cret") }
func withKey() *http.Request   { return request("X-Api-Key", "s3cret") }
func plainRequest() *http.Request {
	return request("Accept", "*/*")
}

func request(header, value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://gatehouse.example.com/api/v1/pods?limit=5", nil)
	r.Header.Set(header, value)
	return r
}

// identify tells who a request is from, as text.
func (h *host) identify(r *http.Request) string {
	response, ok, err := h.Authentication(plugins.Selection{}, authenticator.Audiences{"here"}).AuthenticateRequest(r)
	switch {
	case ok && err == nil:
		u := response.User
		return fmt.Sprintf("%s %q %q %v %v", u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra(), response.Audiences)
	case err == nil:
		return "no opinion"
	case errors.Is(err, plugins.ErrUnavailable):
		return "unavailable: " + err.Error()
	default:
		return "wrong: " + err.Error()
	}
}

func TestAnAuthenticatorsAnswerSaysWhoAsks(t *testing.T) {
	const failed = `unavailable: a plugin could not decide: failed calling authentication plugin "judge" (revision `
	for _, test := range []struct{ name, status, want string }{
		{"a user", `{"authenticated":true,"user":{"username":"jane","uid":"42","groups":["devs"],"extra":{"example.com/team":["blue"]}}}`,
			`jane "42" ["devs"] map[example.com/team:[blue]] []`},
		{"a mere name", `{"authenticated":true,"user":{"username":"jane"}}`, `jane "" [] map[] []`},
		{"a name in spite of trouble", `{"authenticated":true,"error":"trouble","user":{"username":"jane"}}`, `jane "" [] map[] []`},
		{"the group that everybody is in", `{"authenticated":true,"user":{"username":"jane","groups":["system:authenticated"]}}`,
			`jane "" ["system:authenticated"] map[] []`},
		{"wrong credentials", `{"authenticated":false,"error":"too\nold"}`, `wrong: authentication plugin "judge": too old`},
		{"failure: nobody", `{"authenticated":true}`, "its answer lets in a user without a name"},
		{"failure: a member of system:masters", `{"authenticated":true,"user":{"username":"jane","groups":["devs","system:masters"]}}`,
			`its answer has the group "system:masters", which its authentication.systemNames does not allow`},
		{"failure: a node", `{"authenticated":true,"user":{"username":"system:node:a"}}`, `its answer has the user "system:node:a", which`},
		{"failure: the cluster's own extra", `{"authenticated":true,"user":{"username":"jane","extra":{"Authentication.Kubernetes.io/node-name":["a"]}}}`,
			"and those of kubernetes.io are the cluster's own"},
		{"failure: wrong types", `{"authenticated":"yes"}`, "status:"},
		{"failure: no status", `null`, "its answer has no status"},
	} {
		for kind, write := range map[string]func(string) string{"TokenReview": token, "RequestReview": reviewed} {
			t.Run(kind+" says "+test.name, func(t *testing.T) {
				r, config := withToken(), "roles: [authenticate]"
				if kind == "RequestReview" {
					r, config = withKey(), byHeader
				}
				h := open(t, says(t, "judge", write(test.status), config))
				got := h.identify(r)
				if !strings.HasPrefix(test.name, "failure") {
					if got != test.want {
						t.Errorf("got  %s\nwant %s", got, test.want)
					}
					return
				}
				if !strings.HasPrefix(got, failed+h.only().Revision) || !strings.Contains(got, test.want) {
					t.Errorf("got  %s\nwant %s…%s", got, failed, test.want)
				}
				if !strings.Contains(h.log.String(), "plugin failed, it vouches for nobody") || strings.Contains(h.log.String(), "s3cret") {
					t.Errorf("the log does not tell, or tells the secret:\n%s", h.log)
				}
			})
		}
	}
}

func TestNoOpinionLeavesARequestToOthers(t *testing.T) {
	h := open(t, merge(
		says(t, "a", token(`{}`), "roles: [authenticate]"),
		says(t, "b", token(`{"authenticated":true,"user":{"username":"jane"}}`), "roles: [authenticate]"),
		says(t, "c", token(`{"authenticated":true,"user":{"username":"joe"}}`), "roles: [authenticate]"),
		says(t, "d", reviewed(`{}`), byHeader),
	))
	for _, test := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"the first who knows a token", withToken(), `jane "" [] map[] []`},
		{"nobody knows a key", withKey(), "no opinion"},
		{"nobody is asked", plainRequest(), "no opinion"},
		{"credentials of another kind", request("Authorization", "Basic amFuZTpqYW5l"), "no opinion"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := h.identify(test.r); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestATokenThatNoPluginKnowsIsWrong(t *testing.T) {
	h := open(t, says(t, "a", token(`{}`), "roles: [authenticate]"))
	if got := h.identify(withToken()); got != "wrong: invalid bearer token" {
		t.Errorf("got %s", got)
	}
	h = open(t, files{"gate.wasm": string(guesttest.Allow(t, 'a'))})
	if got := h.identify(withToken()); got != "no opinion" {
		t.Errorf("got %s where no plugin is asked about tokens", got)
	}
}

func TestATokenReviewHasNoRequest(t *testing.T) {
	h := open(t, says(t, "a", token(`{"authenticated":true,"user":{"username":"jane"}}`),
		"roles: [authenticate]\nauthentication: {requests: {headers: [Authorization]}}"))
	r := (&http.Request{Header: http.Header{"Authorization": {"Bearer s3cret"}}}).WithContext(t.Context())
	if got, want := h.identify(r), `jane "" [] map[] []`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSystemNamesCanBeAllowed(t *testing.T) {
	status := token(`{"authenticated":true,"user":{"username":"system:node:a","groups":["system:nodes"]}}`)
	for manifest, want := range map[string]string{
		`["system:node:*", "system:nodes"]`: `system:node:a "" ["system:nodes"] map[] []`,
		`["system:node:*"]`:                 `"system:nodes"`,
		`["system:nodes"]`:                  `"system:node:a"`,
	} {
		h := open(t, says(t, "judge", status, "roles: [authenticate]\nauthentication: {systemNames: "+manifest+"}"))
		if got := h.identify(withToken()); !strings.Contains(got, want) || strings.HasPrefix(want, "system") != (got == want) {
			t.Errorf("%s: got %s, want %s", manifest, got, want)
		}
	}
}

func TestTokensAreForAudiences(t *testing.T) {
	for _, test := range []struct {
		name, answered, want string
		wanted               authenticator.Audiences
	}{
		{"a plugin that knows none speaks for the server", "", `jane "" [] map[] [here]`, authenticator.Audiences{"there", "here"}},
		{"one that is wanted will do", `["there","elsewhere"]`, `jane "" [] map[] [there]`, authenticator.Audiences{"there", "here"}},
		{"one of others will not", `["elsewhere"]`, "wrong: invalid bearer token", authenticator.Audiences{"there", "here"}},
		{"the server's own will not for others", "", "wrong: invalid bearer token", authenticator.Audiences{"there"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			audiences := ""
			if test.answered != "" {
				audiences = `,"audiences":` + test.answered
			}
			h := open(t, says(t, "judge", token(`{"authenticated":true,"user":{"username":"jane"}`+audiences+`}`), "roles: [authenticate]"))
			r := withToken()
			if got := h.identify(r.WithContext(authenticator.WithAudiences(r.Context(), test.wanted))); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestAnAuthenticatorSeesWhatItsConfigurationNames(t *testing.T) {
	full := request("X-Api-Key", "one")
	full.Header.Add("X-Api-Key", "two")
	full.Header.Set("Cookie", "a=b")
	full.Header.Set("Authorization", "Basic abc")
	full.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte{0, 1, 2}}, {Raw: []byte{3}}}}
	full = full.WithContext(authenticator.WithAudiences(full.Context(), authenticator.Audiences{"here"}))
	const end = `'host':'gatehouse.example.com','remoteAddress':'192.0.2.1:1234'`
	const begin = `wrong: authentication plugin "echo": {'kind':'RequestReview','apiVersion':'gatehouse.dev/v1',` +
		`'spec':{'method':'GET','path':'/api/v1/pods',`
	for _, test := range []struct {
		name, requests string
		r              *http.Request
		want           string
	}{
		{"headers with all their values", "{headers: [x-api-key, Absent]}", full, begin + end + `,'headers':{'X-Api-Key':['one','two']},'audiences':['here']}}`},
		{"secret headers when they are named", "{headers: [cookie, authorization]}", full,
			begin + end + `,'headers':{'Authorization':['Basic abc'],'Cookie':['a=b']},'audiences':['here']}}`},
		{"certificates when it asks for them", "{clientCertificates: true}", full, begin + end + `,'clientCertificates':['AAEC','Aw=='],'audiences':['here']}}`},
		{"the query when it asks for it", "{query: true}", full, begin + `'query':'limit=5',` + end + `,'audiences':['here']}}`},
		{"every request when it names nothing", "{}", plainRequest(), begin + end + `}}`},
		{"nothing of a request without what it names", "{headers: [X-Api-Key], clientCertificates: true}", plainRequest(), "no opinion"},
		{"nothing when it does not ask", "null", full, "no opinion"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tokens := "false"
			if test.requests == "null" {
				tokens = "true"
			}
			h := open(t, files{
				"echo.wasm": string(guesttest.Read(t, "echo")),
				"echo.yaml": "roles: [authenticate]\nauthentication: {tokens: " + tokens + ", requests: " + test.requests + "}\n" +
					`settings: {prefix: '{"apiVersion":"gatehouse.dev/v1","kind":"RequestReview","status":{"error":"'}`,
			})
			if diff := cmp.Diff(test.want, h.identify(test.r)); diff != "" {
				t.Errorf("what it sees (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatLetARequestInIsTakenOutOfIt(t *testing.T) {
	const config = "roles: [authenticate]\nauthentication: {requests: {headers: [X-User, X-Pin, User-Agent, Cookie]}}"
	for status, left := range map[string][]string{
		`{"authenticated":true,"user":{"username":"jane"}}`: {"User-Agent", "X-Other"},
		`{}`: {"Cookie", "User-Agent", "X-Other", "X-Pin", "X-User"},
	} {
		h := open(t, says(t, "judge", reviewed(status), config))
		r := request("X-User", "jane")
		for _, name := range []string{"X-Pin", "User-Agent", "Cookie", "X-Other"} {
			r.Header.Set(name, "1234")
		}
		h.identify(r)
		if diff := cmp.Diff(left, slices.Sorted(maps.Keys(r.Header))); diff != "" {
			t.Errorf("%s: the request's headers (-want +got):\n%s", status, diff)
		}
	}
}

func TestCredentialsAreAllHeadersThatAuthenticatorsLookAt(t *testing.T) {
	h := open(t, merge(says(t, "a", reviewed(`{}`), "authentication: {requests: {headers: [X-User, X-Pin]}}"), says(t, "b", reviewed(`{}`), byHeader)))
	credentials := func(values ...string) string {
		r := plainRequest()
		for i := 0; i < len(values); i += 2 {
			r.Header.Add(values[i], values[i+1])
		}
		return h.Authentication(plugins.Selection{}, nil).Credentials(r.Header)
	}
	if got := credentials(); got != "" {
		t.Errorf("a request without any has %q", got)
	}
	seen := map[string]bool{}
	for _, values := range [][]string{
		{"X-User", "jane"}, {"X-User", "jane", "X-Pin", "1"}, {"X-User", "jane", "X-Pin", "2"}, {"X-Pin", "2"}, {"X-Api-Key", "2"},
		{"X-Pin", "1", "X-Pin", "2"}, {"X-Pin", "12"},
	} {
		got := credentials(values...)
		if got == "" || seen[got] {
			t.Errorf("%v are %q, as others are", values, got)
		}
		seen[got] = true
	}
}

func TestABrokenAuthenticatorLetsNobodyIn(t *testing.T) {
	for name, test := range map[string]struct {
		content files
		want    string
	}{
		"that never loaded": {files{"guest.wasm": "oops"}, `unavailable: a plugin could not decide: failed calling authentication plugin "guest": it did not load`},
		"whose configuration cannot be read": {files{"guest.wasm": string(guesttest.Read(t, "says")), "guest.yaml": "a: [b"},
			`unavailable: a plugin could not decide: failed calling authentication plugin "guest": it did not load: guest.yaml: is no YAML`},
		"that is to be ignored":    {files{"guest.wasm": "oops", "guest.yaml": "failurePolicy: Ignore"}, "wrong: invalid bearer token"},
		"that is no authenticator": {files{"guest.wasm": "oops", "guest.yaml": "roles: [admit]"}, "no opinion"},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, test.content)
			w := &plugintest.Warnings{}
			r := withToken()
			if got := h.identify(r.WithContext(w.Context(t.Context()))); !strings.HasPrefix(got, test.want) || strings.Contains(got, h.dir) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if ignored := strings.Contains(name, "ignored"); ignored != (len(w.Texts) == 1) {
				t.Errorf("warnings: %v", w.Texts)
			}
			if got := h.identify(plainRequest()); got != "no opinion" {
				t.Errorf("got %s for a request that it is not asked about", got)
			}
		})
	}
}

func TestABrokenAuthenticatorDoesNotKeepOthersFromLettingIn(t *testing.T) {
	h := open(t, merge(files{"a.wasm": "oops"}, says(t, "b", token(`{"authenticated":true,"user":{"username":"jane"}}`), "roles: [authenticate]")))
	if got, want := h.identify(withToken()), `jane "" [] map[] []`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
