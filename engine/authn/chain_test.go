package authn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"gatehouse/engine/authn/throttle"
)

// tokenMember lets in who has a token, by the name of the token, and refuses others with an error if there is one.
func tokenMember(name, token string, refusal error) *fakeTokens {
	return &fakeTokens{Member: Member{Name: name}, known: token, refusal: refusal}
}

type fakeTokens struct {
	Member
	known   string
	refusal error
	asked   int
}

func (f *fakeTokens) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	f.asked++
	if token == f.known && token != "" {
		return &authenticator.Response{User: &user.DefaultInfo{Name: token + " by " + f.Name}}, true, nil
	}
	return nil, false, f.refusal
}

func (f *fakeTokens) member() Member {
	m := f.Member
	m.token = f
	return m
}

// requestMember lets in requests with a header.
func requestMember(name, header string) Member {
	return Member{Name: name, request: requestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		if r.Header.Get(header) == "" {
			return nil, false, nil
		}
		return &authenticator.Response{User: &user.DefaultInfo{Name: "someone by " + name}}, true, nil
	})}
}

func request(header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/version", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func TestTheFirstMemberThatKnowsWhoAsksDecides(t *testing.T) {
	first, second, third := tokenMember("first", "a", nil), tokenMember("second", "a", nil), tokenMember("third", "b", nil)
	chain := New(Config{
		Members: []Member{first.member(), requestMember("middle", "X-In"), second.member(), third.member()},
		Anonymous: apiserver.AnonymousAuthConfig{Enabled: true,
			Conditions: []apiserver.AnonymousAuthCondition{{Path: "/version"}}},
	})
	for _, test := range []struct {
		name    string
		request *http.Request
		want    string
		member  string
	}{
		{"a token that two know", request("Authorization", "Bearer a"), "a by first", "first"},
		{"a token that one knows", request("Authorization", "Bearer b"), "b by third", "third"},
		{"a token that none knows, and a header", request("Authorization", "Bearer c", "X-In", "1"), "someone by middle", "middle"},
		{"a token that the last knows, and a header", request("Authorization", "Bearer b", "X-In", "1"), "someone by middle", "middle"},
		{"nothing, where nobody needs to be known", request(), "system:anonymous", "anonymous"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := audit.WithAuditContext(t.Context())
			response, ok, err := chain.AuthenticateRequest(test.request.WithContext(ctx))
			if !ok || err != nil {
				t.Fatalf("refused: %v", err)
			}
			if got := response.User.GetName(); got != test.want {
				t.Errorf("user is %s, want %s", got, test.want)
			}
			wantGroup := user.AllAuthenticated
			if test.member == "anonymous" {
				wantGroup = user.AllUnauthenticated
			}
			if diff := cmp.Diff([]string{wantGroup}, response.User.GetGroups()); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
			annotations := audit.AuditContextFrom(ctx).GetEventAnnotations()
			if diff := cmp.Diff(map[string]string{"authentication.gatehouse.dev/member": test.member}, annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWrongCredentialsAreNotTakenForNone(t *testing.T) {
	chain := New(Config{Members: []Member{tokenMember("t", "a", nil).member()}, Anonymous: apiserver.AnonymousAuthConfig{Enabled: true}})
	for name, request := range map[string]*http.Request{
		"an unknown token":    request("Authorization", "Bearer x"),
		"two headers":         request("Authorization", "Bearer a", "Authorization", "Bearer a"),
		"two users to act as": request("Authorization", "Bearer a", "Impersonate-User", "ann", "Impersonate-User", "root"),
		"two of their UIDs":   request("Authorization", "Bearer a", "Impersonate-User", "ann", "Impersonate-UID", "1", "Impersonate-UID", "2"),
		"a token too long":    request("Authorization", "Bearer "+strings.Repeat("a", maxCredentials)),
		"a protocol so long":  request("Sec-WebSocket-Protocol", strings.Repeat("a", maxCredentials+1)),
	} {
		if response, ok, err := chain.AuthenticateRequest(request); ok || err == nil {
			t.Errorf("%s: %v, %t, %v, want an error", name, response, ok, err)
		}
	}
	// What a TokenReview asks with has no URL; a token of blanks is as good as none.
	review := &http.Request{Header: http.Header{"Authorization": {"Bearer  "}}}
	if response, ok, err := chain.Reviewer().AuthenticateRequest(review); ok || err != nil {
		t.Errorf("a review of no token: %v, %t, %v", response, ok, err)
	}
	wrong := &http.Request{Header: http.Header{"Authorization": {"Bearer x"}}}
	if _, ok, err := chain.Reviewer().AuthenticateRequest(wrong); ok || err == nil || err.Error() != "invalid bearer token" {
		t.Errorf("a review of an unknown token: %t, %v, want an invalid bearer token", ok, err)
	}
}

func TestATokenIsRememberedUntilSomethingItDependsOnChanges(t *testing.T) {
	tokens := tokenMember("t", "a", nil)
	var forget func()
	revision := int64(1)
	tokens.onChange = func(f func()) { forget = f }
	tokens.revision = func() int64 { return revision }
	chain := New(Config{Members: []Member{tokens.member()}})
	ask := func(token string, want bool, asked int) {
		t.Helper()
		if _, ok, _ := chain.AuthenticateRequest(request("Authorization", "Bearer "+token)); ok != want || tokens.asked != asked {
			t.Errorf("%s: %t after asking %d times, want %t after %d", token, ok, tokens.asked, want, asked)
		}
	}
	ask("a", true, 1)
	ask("a", true, 1)
	ask("b", false, 2)
	ask("b", false, 3) // refusals are not remembered
	tokens.known = "b"
	ask("a", true, 3)
	forget()
	ask("a", false, 4)
	ask("b", true, 5)
	tokens.known = ""
	revision++
	ask("b", false, 6)
}

// waits is how long the sender of a request has to wait.
func waits(chain *Chain, r *http.Request) time.Duration {
	wait, done := chain.Begin(r)
	if done != nil {
		done()
		done()
	}
	return wait
}

func TestRefusalsAreChargedToWhoGuesses(t *testing.T) {
	denied := errors.New("denied")
	for _, test := range []struct {
		name    string
		refusal error
		header  []string
		charged bool
	}{
		{"a wrong token", denied, []string{"Authorization", "Bearer x"}, true},
		{"an unknown token", nil, []string{"Authorization", "Bearer x"}, true},
		{"a good token", nil, []string{"Authorization", "Bearer a"}, false},
		{"a token nobody can judge now", unavailable{denied}, []string{"Authorization", "Bearer x"}, false},
		{"no token", nil, nil, false},
		{"a scheme that nobody knows", nil, []string{"Authorization", "Negotiate x"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			limiter := throttle.New(clocktesting.NewFakePassiveClock(time.Now()))
			chain := New(Config{Members: []Member{tokenMember("t", "a", test.refusal).member()}, Limiter: limiter})
			r := request(test.header...)
			for range throttle.Failures {
				if wait := waits(chain, r); wait != 0 {
					t.Fatalf("has to wait %s already", wait)
				}
				_, _, _ = chain.AuthenticateRequest(r) // how it ends is not what is looked at
			}
			if got := waits(chain, request("Authorization", "Bearer b")) > 0; got != test.charged {
				t.Errorf("has to wait: %t, want %t", got, test.charged)
			}
			other := request("Authorization", "Bearer b")
			other.RemoteAddr = "192.0.2.99:1"
			if wait := waits(chain, other); wait != 0 {
				t.Errorf("somebody else has to wait %s", wait)
			}
		})
	}
}

func TestCredentialsThatWereGoodNeedNotWaitForThoseWhoGuess(t *testing.T) {
	tokens := tokenMember("t", "a", nil)
	var forget func()
	tokens.onChange = func(f func()) { forget = f }
	chain := New(Config{Members: []Member{tokens.member()}, Limiter: throttle.New(clocktesting.NewFakePassiveClock(time.Now()))})
	if _, ok, _ := chain.AuthenticateRequest(request("Authorization", "Bearer a")); !ok {
		t.Fatal("a good token lets nobody in")
	}
	for range throttle.Failures {
		_, _, _ = chain.AuthenticateRequest(request("Authorization", "Bearer x")) // it fails
	}
	if wait := waits(chain, request("Authorization", "Bearer a")); wait != 0 {
		t.Errorf("a token that was good has to wait %s", wait)
	}
	if waits(chain, request("Authorization", "Bearer x")) == 0 || waits(chain, request("Authorization", "Bearer y")) == 0 {
		t.Error("others need not wait")
	}
	tokens.known = ""
	forget()
	if _, ok, _ := chain.AuthenticateRequest(request("Authorization", "Bearer a")); ok {
		t.Fatal("a token that is good no more lets somebody in")
	}
	if waits(chain, request("Authorization", "Bearer a")) == 0 {
		t.Error("a token that was found bad need not wait")
	}
}

// Whoever can come in as himself must not guess another's credentials beside his own.
func TestWhoGuessesBesideGoodCredentialsHasToWait(t *testing.T) {
	keys := Member{
		Name: "keys", guessable: true, credentials: func(header http.Header) string { return header.Get("X-Key") },
		request: requestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
			if r.Header.Get("X-Key") == "" {
				return nil, false, nil
			}
			return nil, false, errors.New("wrong key")
		}),
	}
	other := tokenMember("other", "b", nil)
	for name, header := range map[string]string{"a key": "X-Key", "a token of a browser": "Sec-Websocket-Protocol"} {
		t.Run(name, func(t *testing.T) {
			chain := New(Config{Members: []Member{keys, other.member(), requestMember("between", "X-In"), tokenMember("t", "a", nil).member()},
				Limiter: throttle.New(clocktesting.NewFakePassiveClock(time.Now()))})
			guess := func(i int) *http.Request {
				guessed := fmt.Sprint("guess", i)
				r := request("Authorization", "Bearer a", header, guessed)
				if header != "X-Key" {
					r.Header.Set("Upgrade", "websocket")
					r.Header.Set("Connection", "upgrade")
					r.Header.Set(header, tokenProtocol+base64.RawURLEncoding.EncodeToString([]byte(guessed))+",other")
				}
				return r
			}
			if _, ok, err := chain.AuthenticateRequest(request("Authorization", "Bearer a")); !ok {
				t.Fatal("a good token lets nobody in:", err)
			}
			for i := range throttle.Failures {
				if wait := waits(chain, guess(i)); wait != 0 {
					t.Fatalf("has to wait %s already at guess %d", wait, i)
				}
				if _, ok, err := chain.AuthenticateRequest(guess(i)); !ok {
					t.Fatal("the good token lets nobody in:", err)
				}
			}
			if waits(chain, guess(throttle.Failures)) == 0 {
				t.Error("guesses beside a good token need not wait")
			}
			if wait := waits(chain, request("Authorization", "Bearer a")); wait != 0 {
				t.Errorf("the good token alone has to wait %s", wait)
			}
		})
	}
}

func TestEachDecisionIsCounted(t *testing.T) {
	chain := New(Config{Members: []Member{tokenMember("t", "a", errors.New("denied")).member(), requestMember("r", "X-In")}})
	for _, r := range []*http.Request{
		request("Authorization", "Bearer a"), request("Authorization", "Bearer a"), // the second from memory
		request("Authorization", "Bearer b"), request("X-In", "1"), request(),
	} {
		_, _, _ = chain.AuthenticateRequest(r) // how it ends is counted
	}
	const want = `
# HELP gatehouse_authentication_attempts_total Requests, by the member of authentication that vouched for them or found their credentials wrong. Member none counts the requests that were refused, whether for wrong credentials or for none.
# TYPE gatehouse_authentication_attempts_total counter
gatehouse_authentication_attempts_total{member="none",result="refused"} 2
gatehouse_authentication_attempts_total{member="r",result="accepted"} 1
gatehouse_authentication_attempts_total{member="t",result="accepted"} 2
gatehouse_authentication_attempts_total{member="t",result="refused"} 1
`
	if err := testutil.CollectAndCompare(chain.Metrics(), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// FuzzAuthorization sends whatever headers to a chain with every member that reads them: nothing breaks, and nobody is let in
// whom no member knows.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range [][3]string{
		{"Bearer a", "", ""}, {"Basic OjpqOg==", "", ""}, {"bearer  a", "", ""}, {"Bearer e30.e30.", "", ""},
		{"", "base64url.bearer.authorization.k8s.io.YQ, x", ""}, {"", "base64url.bearer.authorization.k8s.io.", ""},
		{"", "", "root"}, {"Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2kifQ.", "x", "y"}, {"Basic", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	// A password and a token that the fuzzer does not know let in those that are named so.
	members := []Member{
		RequestHeader(RequestHeaders{
			Authorities: func() *x509.CertPool { return x509.NewCertPool() }, Username: []string{"X-Remote-User"},
		}, nil),
		ClientCertificates(func() *x509.CertPool { return x509.NewCertPool() }),
		{Name: "password", request: &passwords{}, guessable: true},
		tokenMember("t", "9f0d3c2b7a", nil).member(),
	}
	chain := New(Config{Members: members, Limiter: throttle.New(clocktesting.NewFakePassiveClock(time.Now()))})
	f.Fuzz(func(t *testing.T, authorization, protocol, remote string) {
		r := httptest.NewRequest(http.MethodGet, "/api", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		r.Header["Authorization"] = []string{authorization}
		r.Header["Sec-Websocket-Protocol"] = []string{protocol}
		r.Header["Upgrade"], r.Header["Connection"] = []string{"websocket"}, []string{"Upgrade"}
		r.Header["X-Remote-User"] = []string{remote}
		if response, ok, _ := chain.AuthenticateRequest(r); ok && !strings.Contains(authorization+protocol, "9f0d3c2b7a") {
			t.Errorf("%s is let in", response.User.GetName())
		}
		waits(chain, r)
	})
}

// Under -race this shows that requests, changes of what members know, and guesses do not get in each other's way.
func TestManyAskWhileMembersChange(t *testing.T) {
	tokens := &changingTokens{}
	var forget func()
	var revision atomic.Int64
	chain := New(Config{
		Members: []Member{{Name: "t", token: tokens, onChange: func(f func()) { forget = f }, revision: revision.Load}},
		Limiter: throttle.New(clock.RealClock{}),
	})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				r := request("Authorization", fmt.Sprintf("Bearer %d", j%3))
				r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i)
				wait, done := chain.Begin(r)
				if wait > 0 {
					continue
				}
				response, ok, _ := chain.AuthenticateRequest(r)
				if ok && response.User.GetName() != fmt.Sprint(j%3) {
					t.Errorf("%d is let in as %s", j%3, response.User.GetName())
				}
				if done != nil {
					done()
				}
			}
		})
	}
	all.Go(func() {
		for i := range 200 {
			tokens.known.Store(int64(i % 3))
			forget()
			revision.Add(1)
		}
	})
	all.Wait()
}

// changingTokens let in who has the token that is known now.
type changingTokens struct{ known atomic.Int64 }

func (c *changingTokens) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	if token != fmt.Sprint(c.known.Load()) {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: token}}, true, nil
}
