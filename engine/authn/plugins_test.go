package authn

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	clocktesting "k8s.io/utils/clock/testing"

	"gatehouse/engine/authn/throttle"
)

var errBroken = errors.New("broken")

// fakePlugins lets in who has the key "good", and is broken for who has "broken".
type fakePlugins struct{}

func (fakePlugins) Credentials(header http.Header) string { return header.Get("X-Api-Key") }

func (fakePlugins) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	switch r.Header.Get("X-Api-Key") {
	case "":
		return nil, false, nil
	case "good":
		return &authenticator.Response{User: &user.DefaultInfo{Name: "jane"}}, true, nil
	case "broken":
		return nil, false, errBroken
	default:
		return nil, false, errors.New("wrong")
	}
}

func TestKeysThatPluginsLookAtCanBeGuessedAsTokensCan(t *testing.T) {
	for _, test := range []struct {
		name, key string
		charged   bool
	}{
		{"a wrong key", "wrong", true},
		{"a key that a plugin could not judge", "broken", false},
		{"a good key", "good", false},
		{"no key", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			member := Plugins(fakePlugins{}, func(err error) bool { return errors.Is(err, errBroken) })
			member.Name = "plugins"
			chain := New(Config{Members: []Member{member}, Limiter: throttle.New(clocktesting.NewFakePassiveClock(time.Now()))})
			for range throttle.Failures {
				r := request("X-Api-Key", test.key)
				if wait := waits(chain, r); wait != 0 {
					t.Fatalf("has to wait %s already", wait)
				}
				_, ok, err := chain.AuthenticateRequest(r)
				if ok != (test.key == "good") || (err != nil) != (test.key == "wrong" || test.key == "broken") {
					t.Fatalf("got %t, %v", ok, err)
				}
			}
			if got := waits(chain, request("X-Api-Key", "another")) > 0; got != test.charged {
				t.Errorf("has to wait: %t, want %t", got, test.charged)
			}
		})
	}
}
