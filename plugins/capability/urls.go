package capability

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// place is an entry of a list of URLs: everything of one origin that lies below a path.
type place struct {
	scheme, host string // the host with its port
	path         string // begins with a slash
}

// parsePlace reads an entry of HTTPGrant.URLs.
func parsePlace(text string) (place, error) {
	u, err := parseURL(text)
	if err != nil {
		return place{}, err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return place{}, errors.New("has a query, where a path would be compared alone")
	}
	return place{scheme: u.Scheme, host: hostOf(u), path: pathOf(u)}, nil
}

// has says whether a URL, as parseURL returned it, lies there. A path ends at a slash: /api has /api/pods but not /apis.
func (p place) has(u *url.URL) bool {
	if u.Scheme != p.scheme || hostOf(u) != p.host {
		return false
	}
	path := pathOf(u)
	return path == p.path || strings.HasPrefix(path, strings.TrimSuffix(p.path, "/")+"/")
}

// parseURL reads a URL that means the same to everybody who reads it: one whose path could turn out to be another at the server's is
// refused, and so is one that carries a password.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("is no URL: %w", err)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must begin with https:// or http://")
	case u.Hostname() == "" || u.Opaque != "" || strings.Contains(u.Host, "*"):
		return nil, errors.New("has no host, or none that is one host's name")
	case u.User != nil:
		return nil, errors.New("has a user: send credentials in a header")
	case u.Fragment != "":
		return nil, errors.New("has a fragment, which no server gets to see")
	}
	return u, plainPath(u)
}

// plainPath refuses dot segments and characters that some servers take for a slash or a dot, be it on a second look.
func plainPath(u *url.URL) error {
	escaped := strings.ToLower(u.EscapedPath())
	for _, ambiguous := range []string{"%2f", "%5c", "%2e", `\`, "%00", "%25"} {
		if strings.Contains(escaped, ambiguous) {
			return fmt.Errorf("has %s in its path, which not everybody reads alike", ambiguous)
		}
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return fmt.Errorf("has the segment %q in its path: say where it leads to", segment)
		}
	}
	return nil
}

func hostOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + port
}

func pathOf(u *url.URL) string {
	if u.Path == "" {
		return "/"
	}
	return u.Path
}
