package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/server/options/authenticationconfig/metrics"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"

	"gatehouse/engine/files"
)

const (
	// issuersPatience is how long new issuers may take to tell their keys before the change waits, upstream's
	// UpdateAuthenticationConfigTimeout, and issuersPoll how often they are looked at meanwhile.
	issuersPatience = time.Minute
	issuersPoll     = time.Second
	// issuersLinger is how long issuers are still in use after others have taken their place: requests may be under way.
	issuersLinger = time.Minute
	// serverID is what upstream's metrics call this server.
	serverID = "gatehouse"
)

// JSONWebTokens is what a file with an AuthenticationConfiguration of Kubernetes says.
type JSONWebTokens struct {
	// Member lets in who has a token of one of the file's issuers. It keeps up with the file.
	Member Member
	// Anonymous is who needs no credentials, nil if the file does not say. It does not change.
	Anonymous *apiserver.AnonymousAuthConfig
}

// issuers authenticates by tokens of the issuers that a file names.
type issuers struct {
	file     *files.File[configuration]
	reserved []string
	logger   *slog.Logger
	changed  chan struct{} // has one element when the file has changed
	current  atomic.Pointer[issuerSet]
	forget   []func() // not written to once the server runs
}

// configuration is what a file says.
type configuration struct {
	*apiserver.AuthenticationConfiguration
	text string
}

// issuerSet are the issuers of one state of the file. stop ends what they do in the background.
type issuerSet struct {
	authenticator.Token
	checks []func() error
	stop   context.CancelFunc
}

// OpenJSONWebTokens reads the file at path. reserved are issuers it must not name: the server's own. Tokens are good for the
// audiences, whatever theirs are at their issuers. Until ctx ends, issuers are asked for their keys.
func OpenJSONWebTokens(ctx context.Context, set *files.Set, path string, reserved []string, audiences authenticator.Audiences,
	logger *slog.Logger) (*JSONWebTokens, error) {
	metrics.RegisterMetrics()
	i := &issuers{reserved: reserved, logger: logger, changed: make(chan struct{}, 1)}
	var err error
	if i.file, err = files.Open(set, path, newConfigurationReader(reserved).read); err != nil {
		return nil, fmt.Errorf("read the authentication configuration: %w", err)
	}
	first, err := i.build(ctx, i.file.Get())
	if err != nil {
		return nil, fmt.Errorf("use the authentication configuration %s: %w", path, err)
	}
	i.current.Store(first)
	metrics.RecordAuthenticationConfigLastConfigInfo(serverID, i.file.Get().text)
	i.file.OnChange(func() {
		select {
		case i.changed <- struct{}{}:
		default: // it will be looked at anyway
		}
	})
	go i.keepUp(ctx)
	return &JSONWebTokens{
		Member: Member{
			token:    authenticator.WrapAudienceAgnosticToken(audiences, i),
			onChange: func(forget func()) { i.forget = append(i.forget, forget) },
		},
		Anonymous: i.file.Get().Anonymous,
	}, nil
}

// AuthenticateToken implements authenticator.Token.
func (i *issuers) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	current := i.current.Load()
	response, ok, err := current.AuthenticateToken(ctx, token)
	if err != nil && current.check() != nil {
		err = unavailable{err}
	}
	return response, ok, err
}

// build makes the issuers of a configuration. They get their keys in the background.
func (i *issuers) build(ctx context.Context, configuration configuration) (*issuerSet, error) {
	ctx, stop := context.WithCancel(ctx)
	built := &issuerSet{stop: stop}
	var members []authenticator.Token
	for _, issuer := range configuration.JWT {
		options := oidc.Options{
			JWTAuthenticator:     issuer,
			SupportedSigningAlgs: oidc.AllValidSigningAlgorithms(),
			DisallowedIssuers:    i.reserved,
			APIServerID:          serverID,
		}
		if ca := issuer.Issuer.CertificateAuthority; ca != "" {
			options.CAContentProvider = authorityText(ca)
		}
		member, err := oidc.New(ctx, options)
		if err != nil {
			stop()
			return nil, fmt.Errorf("issuer %s: %w", issuer.Issuer.URL, err)
		}
		members = append(members, member)
		built.checks = append(built.checks, member.HealthCheck)
	}
	built.Token = tokenunion.NewFailOnError(members...)
	return built, nil
}

// check fails while the keys of an issuer are not known.
func (s *issuerSet) check() error {
	var errs []error
	for _, check := range s.checks {
		errs = append(errs, check())
	}
	return utilerrors.NewAggregate(errs)
}

// keepUp puts the issuers of a changed file in place of the others, once their keys are known, until ctx ends.
func (i *issuers) keepUp(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.changed:
		case <-again:
		}
		again = nil
		if err := i.replace(ctx); err != nil && ctx.Err() == nil {
			metrics.RecordAuthenticationConfigAutomaticReloadFailure(serverID)
			i.logger.Error("the issuers of a changed file cannot be used; those it named before stay in use",
				"file", i.file.Path(), "error", err, "again in", issuersPatience)
			again = time.After(issuersPatience)
		}
	}
}

func (i *issuers) replace(ctx context.Context) error {
	from := i.file.Get()
	next, err := i.build(ctx, from)
	if err != nil {
		return err
	}
	var last error
	if err := wait.PollUntilContextTimeout(ctx, issuersPoll, issuersPatience, true, func(context.Context) (bool, error) {
		last = next.check()
		return last == nil || len(i.changed) > 0, nil
	}); err != nil {
		next.stop()
		return errors.Join(err, last)
	}
	if last != nil { // the file has changed again
		next.stop()
		return nil
	}
	before := i.current.Swap(next)
	time.AfterFunc(issuersLinger, before.stop)
	for _, forget := range i.forget {
		forget()
	}
	metrics.RecordAuthenticationConfigAutomaticReloadSuccess(serverID, from.text)
	i.logger.Info("using the issuers of a changed file", "file", i.file.Path(), "issuers", len(next.checks))
	return nil
}

// authorityText is a certificate authority in PEM.
type authorityText string

// CurrentCABundleContent implements oidc.CAContentProvider.
func (a authorityText) CurrentCABundleContent() []byte { return []byte(a) }

// configurationReader reads AuthenticationConfigurations as kube-apiserver does: strictly, and with all CEL compiled. It is
// used by one goroutine at a time.
type configurationReader struct {
	codecs   serializer.CodecFactory
	reserved []string
	// first is what the first file says of anonymous requests, which later ones must repeat; readOnce is true from then on.
	first    *apiserver.AnonymousAuthConfig
	readOnce bool
}

func newConfigurationReader(reserved []string) *configurationReader {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	return &configurationReader{codecs: serializer.NewCodecFactory(scheme, serializer.EnableStrict), reserved: reserved}
}

func (r *configurationReader) read(content []byte) (configuration, error) {
	if len(content) == 0 {
		return configuration{}, errors.New("it is empty, want an AuthenticationConfiguration")
	}
	decoded, err := runtime.Decode(r.codecs.UniversalDecoder(), content)
	if err != nil {
		return configuration{}, err
	}
	read, ok := decoded.(*apiserver.AuthenticationConfiguration)
	if !ok {
		return configuration{}, fmt.Errorf("it holds a %T, want an AuthenticationConfiguration", decoded)
	}
	wrong := validation.ValidateAuthenticationConfiguration(authenticationcel.NewDefaultCompiler(), read, r.reserved)
	if r.readOnce && !reflect.DeepEqual(r.first, read.Anonymous) {
		wrong = append(wrong, field.Forbidden(field.NewPath("anonymous"), "changed while the server runs; start it anew for that"))
	}
	if err := wrong.ToAggregate(); err != nil {
		return configuration{}, err
	}
	r.first, r.readOnce = read.Anonymous, true
	return configuration{read, string(content)}, nil
}
