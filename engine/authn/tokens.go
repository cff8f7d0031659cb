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
	members authenticator.Token
	request authenticator.Request
	memory  atomic.Pointer[authenticator.Token]
}

func newTokens(members []Member, counts *counts) *tokens {
	t := &tokens{}
	vouchers := make([]authenticator.Token, len(members))
	for i, member := range members {
		vouchers[i] = &voucher{member.token, member.Name, counts}
	}
	t.members = tokenunion.New(vouchers...)
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
func (t *tokens) forget() {
	memory := tokencache.New(t.members, true, tokenMemory, 0)
	t.memory.Store(&memory)
}

// AuthenticateRequest implements authenticator.Request.
func (t *tokens) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	return t.request.AuthenticateRequest(r)
}

// AuthenticateToken implements authenticator.Token.
func (t *tokens) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	return (*t.memory.Load()).AuthenticateToken(ctx, token)
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
