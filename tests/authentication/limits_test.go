package authentication

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"

	"gatehouse/engine/authn/throttle"
)

func base64Of(text []byte) string { return base64.StdEncoding.EncodeToString(text) }

// TestWhoGuessesHasToWaitAndNobodyElse lets one address fail until it is told to wait.
func TestWhoGuessesHasToWaitAndNobodyElse(t *testing.T) {
	u := newUsers(t)
	own := loadAuthority(t, file(u.DataDir(), "pki/ca.crt"), file(u.DataDir(), "pki/ca.key"))
	token := u.token(t, "robot", authenticationv1.TokenRequestSpec{})
	guesser := u.from()
	guesses := []credentials{basic("jane", "guess"), bearer("guess")}
	start := time.Now()
	var told answer
	for i := 0; told.code != http.StatusTooManyRequests; i++ {
		told = u.askFrom(t, guesser, guesses[i%len(guesses)], http.MethodGet, "/api", "")
		forgiven := int(time.Since(start)/throttle.Forgiving) + 1
		switch {
		case told.code != http.StatusUnauthorized && told.code != http.StatusTooManyRequests:
			t.Fatalf("guess %d is answered %d: %s", i, told.code, told.body)
		case told.code == http.StatusTooManyRequests && i < throttle.Failures:
			t.Fatalf("guess %d is answered 429 already", i)
		case i > throttle.Failures+forgiven:
			t.Fatalf("guess %d is answered 401 still", i)
		}
	}
	wait, err := strconv.Atoi(told.header.Get("Retry-After"))
	if err != nil || wait < 1 || time.Duration(wait)*time.Second > throttle.Forgiving {
		t.Errorf("the answer says to come again after %q", told.header.Get("Retry-After"))
	}

	// It is made to fail once more for each time that it may try again, so that it still has to wait when others are asked.
	waits := func() {
		t.Helper()
		eventually(t, func() error {
			told = u.askFrom(t, guesser, basic("jane", "guess"), http.MethodGet, "/api", "")
			if told.code != http.StatusTooManyRequests {
				return errNotYet
			}
			return nil
		})
	}
	waits()
	if got := u.askFrom(t, guesser, certified(own.client(t, named("jane"))), http.MethodPost, reviewPath, selfReview); got.code != http.StatusCreated {
		t.Errorf("a certificate from the same address is answered %d: %s", got.code, got.body)
	}
	waits()
	both := credentials{certificate: own.client(t, named("jane")), header: bearer("guess").header}
	if got := u.askFrom(t, guesser, both, http.MethodPost, reviewPath, selfReview); got.code != http.StatusCreated {
		t.Errorf("a certificate and a guess are answered %d: %s", got.code, got.body)
	}
	waits()
	if got := u.askFrom(t, guesser, credentials{}, http.MethodGet, "/livez", ""); got.code != http.StatusOK {
		t.Errorf("a request without credentials is answered %d: %s", got.code, got.body)
	}
	waits()
	for name, who := range map[string]credentials{"password": basic("jane", "plain:text"), "token": bearer(token)} {
		if u.whoami(t, who) == nil {
			t.Errorf("a good %s from another address lets nobody in", name)
		}
	}
	stranger := credentials{certificate: u.stranger.client(t, named("jane")), header: basic("jane", "plain:text").header}
	waits()
	if got := u.askFrom(t, guesser, stranger, http.MethodGet, "/api", ""); got.code != http.StatusTooManyRequests && got.code != http.StatusOK {
		t.Errorf("a certificate of nobody's and a password are answered %d: %s", got.code, got.body)
	}
	if n := u.attempts(t, "none", "throttled"); n == 0 {
		t.Error("metrics do not count who had to wait")
	}
}

// kube-apiserver had browsers ask for a password as long as it took them.
func TestClientsAreAskedForPasswordsOnlyWhereTheyAreTaken(t *testing.T) {
	u := newUsers(t)
	if got := u.ask(t, credentials{}, http.MethodGet, "/api", ""); got.header.Get("WWW-Authenticate") != `Basic realm="kubernetes-master"` {
		t.Errorf("WWW-Authenticate is %q", got.header.Get("WWW-Authenticate"))
	}
	w := start(t, t.TempDir())
	got := w.ask(t, basic("jane", "guess"), http.MethodGet, "/api", "")
	if _, asked := got.header["Www-Authenticate"]; asked || got.code != http.StatusUnauthorized {
		t.Errorf("without passwords the answer is %d and %v", got.code, got.header)
	}
}

// Many guesses at once are as many guesses.
func TestWhoGuessesManyTimesAtOnceHasToWaitAllTheSame(t *testing.T) {
	u := newUsers(t)
	guesser := u.from()
	start := time.Now()
	var looked, waited atomic.Int32
	var all sync.WaitGroup
	for i := range 4 * throttle.Failures {
		all.Go(func() {
			who := basic("kim", "guess") // which has a hash, so that it takes a while
			if i%2 == 0 {
				who = basic("nobody", fmt.Sprint("guess ", i))
			}
			switch got := u.askFrom(t, guesser, who, http.MethodGet, "/api", ""); got.code {
			case http.StatusUnauthorized:
				looked.Add(1)
			case http.StatusTooManyRequests:
				waited.Add(1)
			default:
				t.Errorf("a guess is answered %d: %s", got.code, got.body)
			}
		})
	}
	all.Wait()
	most := throttle.Failures + int(time.Since(start)/throttle.Forgiving) + 1
	if n := int(looked.Load()); n > most || waited.Load() == 0 {
		t.Errorf("%d guesses were looked at, want at most %d; %d were told to wait", n, most, waited.Load())
	}
}
