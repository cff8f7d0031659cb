package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	"k8s.io/apiserver/pkg/authentication/user"

	"gatehouse/plugins/sandbox"
)

// pluginAnnotation is in the audit event of a request that a plugin has let in, and names the plugin.
const pluginAnnotation = "authenticate.plugins.gatehouse.dev/plugin"

// ErrUnavailable is an error of Authentication if a plugin could not decide: it says nothing about the request's credentials.
var ErrUnavailable = errors.New("a plugin could not decide")

// errNobodyAsked tells bearertoken.Authenticator, which takes no opinion for a wrong token, that there was nobody to have one.
var errNobodyAsked = errors.New("no plugin is asked about the token")

// Authenticator is the member of the chain of authenticators that asks plugins. It is safe for concurrent use.
type Authenticator interface {
	authenticator.Request
	// Credentials is what the request has of the headers that authenticators have asked to be shown; empty if it has none.
	Credentials(http.Header) string
}

// authentication asks the plugins of a set who sent a request.
type authentication struct {
	set       *Set
	selection Selection
	audiences authenticator.Audiences
}

// Authentication is the member of the chain of authenticators that asks the selected plugins, in the order of their names: first
// about the request's bearer token, then about the rest of it. Credentials are good for audiences, the server's own, unless
// a plugin says otherwise.
func (s *Set) Authentication(selection Selection, audiences authenticator.Audiences) Authenticator {
	return &authentication{set: s, selection: selection, audiences: audiences}
}

// AuthenticateRequest implements authenticator.Request. A request without URL, as TokenReviews are, has nothing but a token.
func (a *authentication) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	roster := a.set.roster.Load()
	var tokenErr error
	if len(roster.tokens) > 0 {
		var response *authenticator.Response
		var ok bool
		asked := authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
			return a.authenticateToken(ctx, token, r.RemoteAddr)
		})
		if response, ok, tokenErr = union.New(bearertoken.New(asked), websocket.NewProtocolAuthenticator(asked)).AuthenticateRequest(r); ok {
			return response, true, nil
		}
		if errors.Is(tokenErr, errNobodyAsked) {
			tokenErr = nil
		}
	}
	candidates := roster.identifying(r.Header)
	if r.URL == nil || len(candidates) == 0 {
		return nil, false, tokenErr
	}
	var last *requestReview
	response, ok, err := a.each(r.Context(), r.RemoteAddr, candidates, func(m *manifest) bool { return m.Authentication.Requests.wants(r) },
		func(m *manifest) identityReview {
			last = newRequestReview(r, m.Authentication.Requests)
			return last
		})
	if ok {
		last.takeFrom(r.Header)
		return response, true, nil
	}
	if errors.Is(err, errNobodyAsked) {
		err = nil
	}
	return nil, false, both(tokenErr, err)
}

// Credentials implements Authenticator.
func (a *authentication) Credentials(header http.Header) string {
	return a.set.roster.Load().shown(header)
}

func both(errs ...error) error { return utilerrors.NewAggregate(errs) }

// authenticateToken asks about a bearer token that came from an address; "" if that is not known.
func (a *authentication) authenticateToken(ctx context.Context, token, address string) (*authenticator.Response, bool, error) {
	return a.each(ctx, address, a.set.roster.Load().tokens, func(m *manifest) bool { return *m.Authentication.Tokens },
		func(*manifest) identityReview { return newTokenReview(ctx, token) })
}

// each asks those of the candidates that are selected and want to be asked, until one lets the request in. Without any the error is
// errNobodyAsked.
func (a *authentication) each(
	ctx context.Context, address string, candidates []*plugin, wants func(*manifest) bool, review func(*manifest) identityReview,
) (*authenticator.Response, bool, error) {
	var errs []error
	asked := false
	matches := func(m *manifest) (bool, error) { return wants(m), nil }
	for _, p := range candidates {
		if !a.selection.has(p.name) {
			continue
		}
		c, err := a.set.concerned(ctx, p, sandbox.Authenticate, matches)
		if c == nil && err == nil {
			continue
		}
		asked = true
		var response *authenticator.Response
		if err == nil {
			response, err = a.ask(ctx, c, address, review(c.state.manifest))
		}
		if response != nil {
			return response, true, nil
		}
		if err != nil {
			errs = append(errs, unavailability(ctx, err))
		}
	}
	if !asked {
		return nil, false, errNobodyAsked
	}
	return nil, false, utilerrors.NewAggregate(errs)
}

// unavailability adds ErrUnavailable to errors that say nothing about credentials.
func unavailability(ctx context.Context, err error) error {
	var u *unavailable
	if errors.As(err, &u) || ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// ask has one plugin decide. Neither a response nor an error is no opinion.
func (a *authentication) ask(ctx context.Context, c *call, address string, review identityReview) (*authenticator.Response, error) {
	defer c.leave()
	response, err := a.decide(ctx, c, address, review)
	if c.recorded() {
		c.recordIdentity(review, response, err)
	}
	var fault *sandbox.Fault
	switch {
	case errors.As(err, &fault):
		err = c.failed(ctx, hide(fault, review.credentials()), string(sandbox.Authenticate), func(key, value string) { audit.AddAuditAnnotation(ctx, key, value) },
			slog.String("review", review.typeMeta().Kind))
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	case response != nil:
		c.count(allowedResult)
		audit.AddAuditAnnotation(ctx, pluginAnnotation, c.plugin.name)
	}
	return response, err
}

// decide runs the guest and judges its answer.
func (a *authentication) decide(ctx context.Context, c *call, address string, review identityReview) (*authenticator.Response, error) {
	var status authenticationv1.TokenReviewStatus
	if c.state.module == nil {
		return nil, c.broken()
	}
	if fault := c.enter(func() origin { return a.originOf(address, review) }); fault != nil {
		return nil, fault
	}
	payload, err := json.Marshal(review)
	if err != nil {
		return nil, fmt.Errorf("encode the %s: %w", review.typeMeta().Kind, err)
	}
	err = c.run(ctx, sandbox.Request{Payload: payload, Fields: review}, func(answer []byte) error {
		var err error
		status, err = parseIdentity(answer, review.typeMeta())
		return err
	})
	if err != nil {
		return nil, err
	}
	if !status.Authenticated {
		if status.Error != "" {
			c.count(deniedResult)
			return nil, fmt.Errorf("authentication plugin %q: %s", c.plugin.name, oneLine(errors.New(status.Error)))
		}
		c.count(noOpinionResult)
		return nil, nil
	}
	extra := extraOf(status.User.Extra)
	if err := c.state.manifest.Authentication.checkUser(status.User.Username, status.User.Groups, extra); err != nil {
		return nil, err
	}
	audiences, ok := a.accept(ctx, status.Audiences)
	if !ok {
		c.count(noOpinionResult)
		return nil, nil
	}
	return &authenticator.Response{
		Audiences: audiences,
		User: &user.DefaultInfo{
			Name: status.User.Username, UID: status.User.UID, Groups: status.User.Groups, Extra: extra,
		},
	}, nil
}

// originOf is the address, and the credentials themselves without telling them.
func (a *authentication) originOf(address string, review identityReview) origin {
	var hash maphash.Hash
	hash.SetSeed(a.set.seed)
	for _, one := range review.credentials() {
		_, _ = hash.WriteString(one) // never fails
		_ = hash.WriteByte(0)
	}
	return origin{who: network(address), where: strconv.FormatUint(hash.Sum64(), 16)}
}

// network is whom an address belongs to: of the sixth version a household has 2^72.
func network(address string) string {
	const ofOne = 56
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return ""
	}
	ip := at.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.WithZone("").Prefix(ofOne)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}

// accept says for which audiences credentials are good, and false if for none that are wanted; the rules are those upstream has for
// webhooks.
func (a *authentication) accept(ctx context.Context, answered []string) (authenticator.Audiences, bool) {
	wanted, limited := authenticator.AudiencesFrom(ctx)
	if !limited {
		return nil, true
	}
	good := a.audiences
	if len(answered) > 0 {
		good = answered
	}
	good = wanted.Intersect(good)
	return good, len(good) > 0
}

// parseIdentity reads the review an authenticator answers, which is of the kind it was asked with. What it returns holds nothing
// of data. Every error is a *sandbox.Fault.
func parseIdentity(data []byte, want metav1.TypeMeta) (authenticationv1.TokenReviewStatus, error) {
	var status authenticationv1.TokenReviewStatus
	err := parseReview(data, want, &status)
	return status, err
}

func extraOf(values map[string]authenticationv1.ExtraValue) map[string][]string {
	if len(values) == 0 {
		return nil
	}
	extra := make(map[string][]string, len(values))
	for key, list := range values {
		extra[key] = list
	}
	return extra
}
