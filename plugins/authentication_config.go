package plugins

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"gatehouse/plugins/sandbox"
)

const (
	// systemPrefix begins the names of users and groups that are the cluster's own.
	systemPrefix = "system:"
	// authenticatedGroup is the one of them that every user is in, by the server's own doing.
	authenticatedGroup = "system:authenticated"
)

// authenticationConfig says what an authenticator is asked about, and whom it may name.
type authenticationConfig struct {
	// Tokens asks about bearer tokens; true when left out.
	Tokens *bool `json:"tokens,omitempty"`
	// Requests asks about all else of requests; nil for not at all.
	Requests *requestsConfig `json:"requests,omitempty"`
	// SystemNames are users and groups that it may give though they begin with system:, whole or ending in *.
	SystemNames []string `json:"systemNames,omitempty"`
}

// requestsConfig says what of a request an authenticator gets to see.
type requestsConfig struct {
	// Headers are shown, under their canonical names; all others are hidden.
	Headers []string `json:"headers,omitempty"`
	// ClientCertificates shows what the client has sent of those.
	ClientCertificates bool `json:"clientCertificates,omitempty"`
	// Query shows what follows the path's question mark.
	Query bool `json:"query,omitempty"`
}

func (a *authenticationConfig) setDefaults() {
	if a.Tokens == nil {
		yes := true
		a.Tokens = &yes
	}
	if a.Requests != nil {
		for i, name := range a.Requests.Headers {
			a.Requests.Headers[i] = http.CanonicalHeaderKey(name)
		}
	}
}

func (a *authenticationConfig) check() error {
	if !*a.Tokens && a.Requests == nil {
		return errors.New("tokens: is false and there are no requests, so the plugin would never be asked: " +
			"leave the role authenticate out of roles instead")
	}
	if a.Requests != nil {
		for i, name := range a.Requests.Headers {
			if !httpguts.ValidHeaderFieldName(name) {
				return fmt.Errorf("requests.headers[%d]: %q is no header's name", i, name)
			}
		}
	}
	for i, name := range a.SystemNames {
		if !strings.HasPrefix(name, systemPrefix) {
			return fmt.Errorf("systemNames[%d]: %q does not begin with %s, so it need not be listed", i, name, systemPrefix)
		}
		if err := checkPattern(name); err != nil {
			return fmt.Errorf("systemNames[%d]: %w", i, err)
		}
	}
	return nil
}

// wants reports whether a request holds anything that the plugin is to see.
func (c *requestsConfig) wants(r *http.Request) bool {
	if c == nil {
		return false
	}
	if len(c.Headers) == 0 && !c.ClientCertificates {
		return true
	}
	if c.ClientCertificates && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return true
	}
	return slices.ContainsFunc(c.Headers, func(name string) bool { return len(r.Header[name]) > 0 })
}

// checkUser refuses users that a plugin must not let anybody be: by a plugin nobody is to become more than its operator has in
// mind.
func (a *authenticationConfig) checkUser(username string, groups []string, extra map[string][]string) error {
	if username == "" {
		return sandbox.Garbledf("its answer lets in a user without a name")
	}
	if err := a.checkName("user", username); err != nil {
		return err
	}
	for _, group := range groups {
		if group == authenticatedGroup {
			continue
		}
		if err := a.checkName("group", group); err != nil {
			return err
		}
	}
	for key := range extra {
		domain, _, _ := strings.Cut(strings.ToLower(key), "/")
		for _, own := range []string{"k8s.io", "kubernetes.io"} {
			if domain == own || strings.HasSuffix(domain, "."+own) {
				return sandbox.Garbledf("its answer has the extra key %q, and those of %s are the cluster's own", key, own)
			}
		}
	}
	return nil
}

func (a *authenticationConfig) checkName(what, name string) error {
	if !strings.HasPrefix(name, systemPrefix) || slices.ContainsFunc(a.SystemNames, func(p string) bool { return matchesPattern(p, name) }) {
		return nil
	}
	return sandbox.Garbledf("its answer has the %s %q, which its authentication.systemNames does not allow", what, name)
}
