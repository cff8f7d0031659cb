package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"

	"gatehouse/engine/authn/throttle"
)

const (
	// memberAnnotation is in the audit event of each request that was let in, and names the member that did.
	memberAnnotation = "authentication.gatehouse.dev/member"
	// memberAnonymous and memberNone stand where a member's name does, for requests that no member let in.
	memberAnonymous = "anonymous"
	memberNone      = "none"

	authorizationHeader = "Authorization"
	// protocolHeader and tokenProtocol are how websockets of browsers, which cannot send other headers, bring a token.
	protocolHeader = "Sec-Websocket-Protocol"
	tokenProtocol  = "base64url.bearer.authorization.k8s.io."

	// maxCredentials is how long the credentials in a header may be: more than a token with thousands of groups takes, and
	// little enough that looking at it costs nothing worth speaking of.
	maxCredentials = 128 << 10
)

var (
	errHuge = fmt.Errorf("the credentials are longer than %d KiB", maxCredentials>>10)
	// errUnavailable is what an error is if a member could not find out who asks, for no fault of who does.
	errUnavailable = errors.New("authentication is unavailable")
)

// AuthenticateRequest implements authenticator.Request. As upstream's chain, it returns neither an error nor success for
// requests without any credentials.
func (c *Chain) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if err := checkHeaders(r.Header); err != nil {
		c.counts.add(memberNone, refused)
		return nil, false, err
	}
	response, ok, err := c.identified.AuthenticateRequest(r)
	if ok {
		return response, true, nil
	}
	// A TokenReview's request has no URL, and no way to be anybody but who the token says. Wrong credentials are not taken for
	// none: their owner would wonder why nothing is allowed.
	if err == nil && c.anonymous != nil && r.URL != nil {
		if response, ok, err = c.anonymous.AuthenticateRequest(r); ok {
			c.accepted(r, memberAnonymous)
			return response, true, nil
		}
	}
	c.counts.add(memberNone, refused)
	return nil, false, err
}

// checkHeaders refuses credentials, and users to act as, of which it is not clear which are meant, and what nobody would have:
// upstream takes the first, something before the server may have looked at the last.
func checkHeaders(header http.Header) error {
	for _, name := range [...]string{authorizationHeader, authenticationv1.ImpersonateUserHeader, authenticationv1.ImpersonateUIDHeader} {
		if len(header[name]) > 1 {
			return fmt.Errorf("the request has several headers %s", name)
		}
	}
	for _, headers := range [...][]string{header[authorizationHeader], header[protocolHeader]} {
		for _, value := range headers {
			if len(value) > maxCredentials {
				return errHuge
			}
		}
	}
	return nil
}

// identify asks the members in turn.
func (c *Chain) identify(r *http.Request) (*authenticator.Response, bool, error) {
	var errs []error
	guessed := false
	credentials, several := c.guessable(r.Header) // members remove what they have let somebody in by
	for i := range c.steps {
		s := &c.steps[i]
		response, ok, err := s.AuthenticateRequest(r)
		switch {
		case ok && err == nil:
			member := s.name
			if v, byToken := response.User.(*vouched); byToken {
				response, member = v.response, v.member
			}
			c.accepted(r, member)
			switch {
			case c.limiter == nil:
			case guessed && several: // which of them was wrong is not known, but one was
				c.charge(r, credentials)
			case s.guessable && credentials != "":
				c.familiar.Good(credentials)
			}
			return response, true, nil
		case err != nil:
			errs = append(errs, err)
			guessed = guessed || s.guessable && !errors.Is(err, errUnavailable)
			if s.name != "" {
				c.counts.add(s.name, refused)
			}
		}
	}
	err := utilerrors.NewAggregate(errs)
	if guessed && c.limiter != nil && r.Context().Err() == nil {
		c.charge(r, credentials)
	}
	return nil, false, err
}

// charge notes that credentials of a request were wrong.
func (c *Chain) charge(r *http.Request, credentials string) {
	c.familiar.Bad(credentials)
	if source, ok := throttle.SourceOf(r.RemoteAddr); ok {
		c.limiter.Failed(source)
	}
}

func (c *Chain) accepted(r *http.Request, member string) {
	c.counts.add(member, accepted)
	audit.AddAuditAnnotation(r.Context(), memberAnnotation, member)
}

// Begin asks whether the credentials of a request may be looked at now, or how long its sender has to wait because too many from
// the same source were wrong. Nobody has to wait without anything that can be guessed, with credentials that were good lately,
// or with a certificate that lets in anyway. done, unless it is nil, is to be called when they have been looked at; it can be
// called twice.
func (c *Chain) Begin(r *http.Request) (wait time.Duration, done func()) {
	credentials, _ := c.guessable(r.Header)
	if c.limiter == nil || credentials == "" || c.familiar.Knows(credentials) {
		return 0, nil
	}
	source, ok := throttle.SourceOf(r.RemoteAddr)
	if !ok {
		return 0, nil
	}
	if wait = c.limiter.Begin(source); wait == 0 {
		var once sync.Once
		return 0, func() { once.Do(func() { c.limiter.End(source) }) }
	}
	if c.certified(r) {
		return 0, nil
	}
	c.counts.add(memberNone, throttled)
	return wait, nil
}

// guessable are the credentials of a request that can be guessed, as they stand there; empty if there are none. Several are known
// together or not at all: whoever has one that is good must not try others beside it for nothing.
func (c *Chain) guessable(header http.Header) (credentials string, several bool) {
	add := func(found string) {
		switch {
		case found == "":
		case credentials == "":
			credentials = found
		default:
			credentials, several = credentials+"\n"+found, true
		}
	}
	if values := header[authorizationHeader]; len(values) > 0 {
		add(values[0])
	}
	for _, value := range header[protocolHeader] {
		if strings.Contains(value, tokenProtocol) {
			add(value)
		}
	}
	for _, of := range c.credentials {
		add(of(header))
	}
	return credentials, several
}

// certified tells whether a certificate lets the request in before anything that can be guessed is looked at.
func (c *Chain) certified(r *http.Request) bool {
	for i := range c.steps {
		s := &c.steps[i]
		if s.guessable {
			return false
		}
		if s.certificate {
			_, ok, err := s.AuthenticateRequest(r)
			return ok && err == nil
		}
	}
	return false
}

// TakesPasswords tells whether clients can come in with a user and password, so that it is worth asking for them.
func (c *Chain) TakesPasswords() bool {
	for i := range c.steps {
		if _, ok := c.steps[i].Request.(*passwords); ok {
			return true
		}
	}
	return false
}

// Reviewer is the chain as TokenReviews are answered from. kube-apiserver asks besides about a token that it has made for
// itself, so that its answers to others say first of all that theirs is not that one; so does this one, which has none.
func (c *Chain) Reviewer() authenticator.Request {
	own := authenticator.TokenFunc(func(context.Context, string) (*authenticator.Response, bool, error) { return nil, false, nil })
	return union.New(bearertoken.New(own), c)
}
