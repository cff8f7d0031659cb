package authn

import (
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
)

// PluginAuthenticator asks plugins, which look at whole requests as well as at their bearer tokens.
type PluginAuthenticator interface {
	authenticator.Request
	// Credentials is what of a request's headers plugins look at; empty if there is nothing.
	Credentials(http.Header) string
}

// Plugins lets in whom plugins vouch for. Their answers are not remembered: they may be others with each request. isUnavailable
// tells errors that say nothing about credentials.
func Plugins(plugins PluginAuthenticator, isUnavailable func(error) bool) Member {
	return Member{
		request: requestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
			response, ok, err := plugins.AuthenticateRequest(r)
			if err != nil && isUnavailable(err) {
				err = unavailable{err}
			}
			return response, ok, err
		}),
		guessable:   true,
		credentials: plugins.Credentials,
	}
}
