// Package authn is the first gate: who is asking? It is a chain of members, most of them upstream's authenticators; they are
// asked in the order that the configuration gives, the first success wins, and what nobody vouches for is refused with 401.
// Nothing is anonymous but what is said to be.
//
// A member looks at a whole request (a certificate, a user and password, a proxy's headers), or at a bearer token. This
// package has both: see Member and the functions that make one. Each keeps up with the files it reads.
package authn

import (
	"net/http"
	"slices"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"

	"gatehouse/engine/authn/throttle"
)

// tokenMemory is for how long a token that let somebody in does so again without being looked at, kube-apiserver's
// --token-success-cache-ttl. It is how late the end of the pod or node that a token is bound to may be noticed; that of its
// account is at once.
const tokenMemory = 10 * time.Second

// Member is one way to be let in. The zero value lets nobody in.
type Member struct {
	// Name is what the configuration, audit events and metrics call it.
	Name string

	// Either request or token is set.
	request authenticator.Request
	token   authenticator.Token
	// guessable is true of a request that says who it is by something that can be guessed; tokens always can.
	guessable bool
	// certificate is true if the client's certificate alone decides.
	certificate bool
	// credentials is what of a request's headers a guessable member looks at besides the usual ones, empty if there is nothing. Nil
	// means that there never is.
	credentials func(http.Header) string
	// onChange has forget called whenever the member may not let in any more whom it did.
	onChange func(forget func())
	// revision is another number after each change of objects that tokens end with. Nil means that there are none such.
	revision func() int64
}

// Config says what a chain is made of.
type Config struct {
	// Members are asked in this order.
	Members []Member
	// Anonymous says for which paths nobody needs to be asked. Credentials that are wrong are refused there as well.
	Anonymous apiserver.AnonymousAuthConfig
	// Limiter makes those wait who fail too often. Nil means that nobody has to.
	Limiter *throttle.Limiter
}

// Chain is the gate. It is safe for concurrent use.
type Chain struct {
	steps      []step
	identified authenticator.Request
	// anonymous is nil if nobody is.
	anonymous authenticator.Request
	limiter   *throttle.Limiter
	// credentials are those of the members.
	credentials []func(http.Header) string
	familiar    *throttle.Familiar
	counts      counts
}

var _ authenticator.Request = (*Chain)(nil)

// step is a member that looks at requests, or several in a row that look at tokens.
type step struct {
	authenticator.Request
	name                   string // empty for tokens: they tell themselves who vouched
	guessable, certificate bool
}

// New builds the chain.
func New(config Config) *Chain {
	c := &Chain{limiter: config.Limiter, familiar: throttle.NewFamiliar(), counts: newCounts()}
	c.identified = group.NewAuthenticatedGroupAdder(requestFunc(c.identify))
	for rest := config.Members; len(rest) > 0; {
		tokens := leadingTokens(rest)
		if len(tokens) == 0 {
			member := rest[0]
			if member.credentials != nil {
				c.credentials = append(c.credentials, member.credentials)
			}
			c.steps = append(c.steps, step{member.request, member.Name, member.guessable, member.certificate})
			rest = rest[1:]
			continue
		}
		c.steps = append(c.steps, step{Request: newTokens(tokens, &c.counts), guessable: true})
		rest = rest[len(tokens):]
	}
	if config.Anonymous.Enabled {
		c.anonymous = anonymous.NewAuthenticator(config.Anonymous.Conditions)
	}
	return c
}

// leadingTokens are the members in front that look at tokens.
func leadingTokens(members []Member) []Member {
	n := slices.IndexFunc(members, func(m Member) bool { return m.token == nil })
	if n < 0 {
		return members
	}
	return members[:n]
}

type requestFunc func(*http.Request) (*authenticator.Response, bool, error)

func (f requestFunc) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	return f(r)
}
