package authn

import (
	"context"
	"net/http"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/authentication/user"
)

// tokens asks members about bearer tokens, of which it remembers the answers that let somebody in.
type tokens struct {
	members   authenticator.Token
	request   authenticator.Request
	revisions []func() int64
	memory    atomic.Pointer[memory]
}

// memory is what is known of tokens at a revision of what they end with.
type memory struct {
	authenticator.Token
	revision int64
}

func newTokens(members []Member, counts *counts) *tokens {
	t := &tokens{}
	vouchers := make([]authenticator.Token, len(members))
	for i, member := range members {
		vouchers[i] = &voucher{member.token, member.Name, counts}
	}
	t.members = tokenunion.New(vouchers...)
	for _, member := range members {
		if member.revision != nil {
			t.revisions = append(t.revisions, member.revision)
		}
	}
	t.forget()
	for _, member := range members {
		if member.onChange != nil {
			member.onChange(t.forget)
		}
	}
	t.request = union.New(bearertoken.New(t), websocket.NewProtocolAuthenticator(t))
	return t
}

// forget makes the members be asked anew about every token: what they know has changed.
func (t *tokens) forget() { t.remember(t.revision()) }

// remember begins a new memory. Whatever comes into it was found out at the revision or later.
func (t *tokens) remember(revision int64) *memory {
	m := &memory{tokencache.New(t.members, true, tokenMemory, 0), revision}
	t.memory.Store(m)
	return m
}

// revision grows with each change of what tokens end with.
func (t *tokens) revision() (sum int64) {
	for _, revision := range t.revisions {
		sum += revision()
	}
	return sum
}

// AuthenticateRequest implements authenticator.Request.
func (t *tokens) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	return t.request.AuthenticateRequest(r)
}

// AuthenticateToken implements authenticator.Token.
func (t *tokens) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	m := t.memory.Load()
	if revision := t.revision(); revision != m.revision {
		m = t.remember(revision)
	}
	return m.AuthenticateToken(ctx, token)
}

// voucher has a member's answers say whose they are, also once they come from memory.
type voucher struct {
	authenticator.Token
	member string
	counts *counts
}

// vouched is a user, and the member and the response that say so.
type vouched struct {
	user.Info
	member   string
	response *authenticator.Response
}

// AuthenticateToken implements authenticator.Token.
func (v *voucher) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	response, ok, err := v.Token.AuthenticateToken(ctx, token)
	if err != nil {
		v.counts.add(v.member, refused)
		return nil, false, err
	}
	if !ok {
		return nil, false, nil
	}
	return &authenticator.Response{
		Audiences: response.Audiences,
		User:      &vouched{Info: response.User, member: v.member, response: response},
	}, true, nil
}
