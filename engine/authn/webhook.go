package authn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"

	"gatehouse/engine/files"
)

// Webhook lets in whom a service vouches for that is asked by TokenReview. path is a kubeconfig that says where it is, version
// the TokenReviews', and ttl how long its answers hold. A service that says nothing of audiences means those here.
func Webhook(set *files.Set, path, version string, ttl time.Duration, audiences authenticator.Audiences) (Member, error) {
	file, err := files.Open(set, path, func([]byte) (authenticator.Token, error) {
		client, err := webhookutil.LoadKubeconfig(path, nil)
		if err != nil {
			return nil, err
		}
		service, err := webhook.New(client, version, audiences, *webhook.DefaultRetryBackoff())
		if err != nil {
			return nil, err
		}
		return tokencache.New(reachable{service}, false, ttl, ttl), nil
	})
	if err != nil {
		return Member{}, fmt.Errorf("read how to reach the service that knows tokens: %w", err)
	}
	return Member{
		token: authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
			return file.Get().AuthenticateToken(ctx, token)
		}),
		onChange: file.OnChange,
	}, nil
}

// reachable tells a service that did not answer from one that said no, for which those who ask have to answer.
type reachable struct{ authenticator.Token }

// AuthenticateToken implements authenticator.Token.
func (r reachable) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	response, ok, err := r.Token.AuthenticateToken(ctx, token)
	var status apierrors.APIStatus
	var transport *url.Error
	if errors.As(err, &status) || errors.As(err, &transport) || errors.Is(err, context.DeadlineExceeded) {
		err = unavailable{err}
	}
	return response, ok, err
}

// unavailable is errUnavailable and says why.
type unavailable struct{ error }

func (u unavailable) Unwrap() error        { return u.error }
func (u unavailable) Is(target error) bool { return target == errUnavailable }
