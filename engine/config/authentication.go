package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Authentication is about who is let in, and by which name.
type Authentication struct {
	// Order is the order in which the members of the first gate are asked; the first that knows who asks decides. It need not
	// list members that are off: those for which no file is given, and bootstrap tokens unless they are turned on. A member
	// that is left out lets nobody in. Default: all, as in AuthenticationMembers.
	Order []string

	// ClientCAFiles are PEM files of authorities whose client certificates are accepted besides those of the server's own.
	ClientCAFiles []string

	// RequestHeader is about proxies in front of the server that authenticate its users. Off unless it has CAFiles.
	RequestHeader RequestHeader

	// PasswordFiles hold users and passwords for basic authentication, one on a line: user:password, the same in base64,
	// user:bcrypt as htpasswd -B makes it, or password,user,uid,"group1,group2".
	PasswordFiles []string

	// TokenFiles hold bearer tokens, one on a line: token,user,uid,"group1,group2", or token and user with a space between.
	TokenFiles []string

	// BootstrapTokens lets in who has the token of a Secret of type bootstrap.kubernetes.io/token in kube-system, as a new
	// node has. Default: false.
	BootstrapTokens bool

	// ConfigFile holds an AuthenticationConfiguration of Kubernetes: issuers of JSON web tokens (OpenID Connect), and what is
	// open to everybody. Default: none.
	ConfigFile string

	// Webhook is about a service that is asked about bearer tokens. Off unless it has a ConfigFile.
	Webhook TokenWebhook

	// AnonymousPaths are the paths that need no credentials, "*" for all of them. What may be done there is still for
	// authorization to decide. Nil, the default, means the health endpoints, and empty ("none") means that there are none. Not
	// to be set when the file ConfigFile says what is anonymous.
	AnonymousPaths []string
}

// RequestHeader is about proxies that say in headers whom they have authenticated.
type RequestHeader struct {
	// CAFiles are PEM files of the authorities of the proxies' client certificates. They should sign nothing else: whoever
	// has such a certificate can be anybody. Default: none.
	CAFiles []string
	// AllowedNames are the common names that a proxy's certificate can have. Default: none, which allows all.
	AllowedNames []string
	// UsernameHeaders, UIDHeaders and GroupHeaders are the headers to read, ExtraHeaderPrefixes what the names of others begin
	// with. Default: X-Remote-User, X-Remote-Uid, X-Remote-Group and X-Remote-Extra-.
	UsernameHeaders     []string
	UIDHeaders          []string
	GroupHeaders        []string
	ExtraHeaderPrefixes []string
}

// TokenWebhook is about a service that answers TokenReviews.
type TokenWebhook struct {
	// ConfigFile is in the format of a kubeconfig: clusters are the service, users the server's credentials for it.
	ConfigFile string
	// Version of TokenReview that the service is sent, v1 or v1beta1. Default: v1; kube-apiserver's is v1beta1.
	Version string
	// CacheTTL is how long the service's answers hold, also those that let nobody in. Default: 2m.
	CacheTTL time.Duration
}

// The names of the members of the first gate, by which Authentication.Order lists them, and audit events and metrics call
// them.
const (
	MemberRequestHeader     = "requestHeader"
	MemberClientCertificate = "clientCertificate"
	MemberPassword          = "password"
	MemberTokenFile         = "tokenFile"
	MemberServiceAccount    = "serviceAccount"
	MemberBootstrapToken    = "bootstrapToken"
	MemberJWT               = "jwt"
	MemberWebhook           = "webhook"
)

// AuthenticationMembers are the members of the first gate, in the order in which kube-apiserver asks those that it has. Single
// plugins can be members besides.
func AuthenticationMembers() []string {
	return []string{
		MemberRequestHeader, MemberClientCertificate, MemberPassword,
		MemberTokenFile, MemberServiceAccount, MemberBootstrapToken, MemberJWT, MemberWebhook, MemberPlugins,
	}
}

func defaultAuthentication() Authentication {
	return Authentication{
		Order: AuthenticationMembers(),
		RequestHeader: RequestHeader{
			UsernameHeaders:     []string{"X-Remote-User"},
			UIDHeaders:          []string{"X-Remote-Uid"},
			GroupHeaders:        []string{"X-Remote-Group"},
			ExtraHeaderPrefixes: []string{"X-Remote-Extra-"},
		},
		Webhook: TokenWebhook{Version: "v1", CacheTTL: 2 * time.Minute},
	}
}

// resolvePaths makes the paths absolute.
func (a *Authentication) resolvePaths(origins map[string]origin) error {
	var errs []error
	for path, files := range map[string]*[]string{
		"authentication.clientCaFiles":         &a.ClientCAFiles,
		"authentication.requestHeader.caFiles": &a.RequestHeader.CAFiles,
		"authentication.passwordFiles":         &a.PasswordFiles,
		"authentication.tokenFiles":            &a.TokenFiles,
	} {
		resolved := slices.Clone(*files)
		for i := range resolved {
			var err error
			resolved[i], err = absolute(resolved[i], origins[path])
			errs = append(errs, err)
		}
		*files = resolved
	}
	for path, file := range map[string]*string{
		"authentication.configFile":         &a.ConfigFile,
		"authentication.webhook.configFile": &a.Webhook.ConfigFile,
	} {
		if *file == "" {
			continue
		}
		var err error
		*file, err = absolute(*file, origins[path])
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkOrder finds members that are configured and never asked: somebody counts on them.
func (a *Authentication) checkOrder(origins map[string]origin) error {
	var errs []error
	for _, member := range []struct {
		name, key string
		on        bool
	}{
		{MemberRequestHeader, "authentication.requestHeader.caFiles", len(a.RequestHeader.CAFiles) > 0},
		{MemberClientCertificate, "authentication.clientCaFiles", len(a.ClientCAFiles) > 0},
		{MemberPassword, "authentication.passwordFiles", len(a.PasswordFiles) > 0},
		{MemberTokenFile, "authentication.tokenFiles", len(a.TokenFiles) > 0},
		{MemberBootstrapToken, "authentication.bootstrapTokens", a.BootstrapTokens},
		{MemberWebhook, "authentication.webhook.configFile", a.Webhook.ConfigFile != ""},
	} {
		if member.on && !slices.Contains(a.Order, member.name) {
			errs = append(errs, fmt.Errorf("%s: authentication.order does not list %s, but %s is set (%s); list it, or leave that out",
				origins["authentication.order"].where, member.name, member.key, origins[member.key].where))
		}
	}
	return errors.Join(errs...)
}

// orderValue is a list of names of which none stands twice.
func orderValue(field *[]string, known []string) value {
	return membersValue(field, known, true, func(names []string) error {
		if len(names) == 0 {
			return reason("at least one name; nobody could come in")
		}
		return eachOnce(names)
	})
}

func filesValue(field *[]string) value {
	return list(field, "a path", func(text string) (string, error) {
		if text == "" || strings.ContainsRune(text, 0) {
			return "", errUnwanted
		}
		return text, nil
	}, same, nil)
}

// headersValue is a list of names of HTTP headers.
func headersValue(field *[]string) value {
	return list(field, "the name of a header, such as X-Remote-User", func(text string) (string, error) {
		if !isToken(text) {
			return "", errUnwanted
		}
		return text, nil
	}, same, nil)
}

// isToken is true for what RFC 9110 calls a token.
func isToken(text string) bool {
	return text != "" && strings.IndexFunc(text, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) < 0
}

func textsValue(field *[]string, want string) value {
	return list(field, want, func(text string) (string, error) {
		if text == "" {
			return "", errUnwanted
		}
		return text, nil
	}, same, nil)
}

// nowhere is the path that stands for none at all.
const nowhere = "none"

// openPathsValue is a list of paths, or "*" or "none" alone. Nil and no path are not the same.
func openPathsValue(field *[]string) value {
	const want = "a path, such as /version, or * alone for every path, or none alone"
	paths := list(field, want, func(text string) (string, error) {
		if text != "*" && text != nowhere && !strings.HasPrefix(text, "/") {
			return "", errUnwanted
		}
		return text, nil
	}, same, func(paths []string) error {
		if len(paths) > 1 && (slices.Contains(paths, "*") || slices.Contains(paths, nowhere)) {
			return errUnwanted
		}
		return nil
	})
	return value{
		want: paths.want,
		list: true,
		set: func(texts []string) error {
			if err := paths.set(texts); err != nil {
				return err
			}
			*field = slices.DeleteFunc(*field, func(path string) bool { return path == nowhere })
			return nil
		},
		texts: func() []string {
			if *field != nil && len(*field) == 0 {
				return []string{nowhere}
			}
			return paths.texts()
		},
	}
}

func boolValue(field *bool) value {
	v := scalar(field, "true or false", func(text string) (bool, error) {
		switch text {
		case "true", "false":
			return text == "true", nil
		default:
			return false, errUnwanted
		}
	}, func(on bool) string { return fmt.Sprint(on) })
	v.truth = true
	return v
}

func choiceValue(field *string, choices ...string) value {
	return scalar(field, strings.Join(choices, " or "), func(text string) (string, error) {
		if !slices.Contains(choices, text) {
			return "", errUnwanted
		}
		return text, nil
	}, same)
}

// issuersValue is a list of issuers of service account tokens.
func issuersValue(field *[]string) value {
	var one string
	single := issuerValue(&one)
	return list(field, single.want, func(text string) (string, error) {
		if err := single.set([]string{text}); err != nil {
			return "", errUnwanted
		}
		return text, nil
	}, same, nil)
}
