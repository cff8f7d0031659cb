package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"
	"k8s.io/utils/clock"

	"gatehouse/engine/authn"
	"gatehouse/engine/authn/throttle"
	"gatehouse/engine/authz"
	"gatehouse/engine/config"
	"gatehouse/engine/health"
	"gatehouse/plugins"
)

// everyPath stands in authentication.anonymousPaths for all there are.
const everyPath = "*"

// identities is what the first gate needs besides its chain.
type identities struct {
	// keys sign and verify service account tokens that are in the name of issuers, the first of which signs.
	keys    *authn.ServiceAccountKeys
	issuers []string
	// audiences are those that tokens must be meant for.
	audiences authenticator.Audiences
	// clients vouch for client certificates, proxies for those of front proxies; proxies is nil if there are none.
	clients, proxies *authn.Authorities
	// frontProxies are those and this server's own, which vouches for it towards other servers.
	frontProxies *authn.Authorities
	// headers is how front proxies name users.
	headers authn.RequestHeaders
	limiter *throttle.Limiter
}

func (s *Server) buildAuthn(context.Context) error {
	if err := s.openIdentities(); err != nil {
		return err
	}
	members, anonymous, err := s.members()
	if err != nil {
		return err
	}
	if everybody(anonymous) && slices.ContainsFunc(s.parts.authorizer.Tallies(), allowsEverything) {
		return errors.New("everybody is let in without credentials, and authorized by alwaysAllow, so that anybody could do anything; say " +
			"in authentication.anonymousPaths which paths are open, or leave out alwaysAllow")
	}
	s.parts.authenticator = authn.New(authn.Config{Members: members, Anonymous: anonymous, Limiter: s.parts.identities.limiter})
	return nil
}

func (s *Server) openIdentities() (err error) {
	accounts, settings := s.config.ServiceAccounts, s.config.Authentication
	ids := &s.parts.identities
	ids.limiter = throttle.New(clock.RealClock{})
	ids.issuers = append([]string{accounts.Issuer}, accounts.AcceptedIssuers...)
	ids.audiences = authenticator.Audiences(accounts.Audiences)
	if len(ids.audiences) == 0 {
		ids.audiences = authenticator.Audiences(ids.issuers)
	}
	if ids.keys, err = authn.NewServiceAccountKeys(accounts.Issuer, s.pki.ServiceAccountSigner(), s.pki.ServiceAccountPublicKeys()); err != nil {
		return err
	}
	s.parts.files.Watch(s.pki.ServiceAccountKeysDir(), s.rotateServiceAccountKeys())
	if ids.clients, err = authn.OpenAuthorities(s.parts.files, settings.ClientCAFiles, s.pki.CAPEM()); err != nil {
		return fmt.Errorf("authentication.clientCaFiles: %w", err)
	}
	ids.frontProxies, err = authn.OpenAuthorities(s.parts.files, settings.RequestHeader.CAFiles, s.pki.FrontProxyCAPEM())
	if err != nil {
		return fmt.Errorf("authentication.requestHeader.caFiles: %w", err)
	}
	if len(settings.RequestHeader.CAFiles) == 0 {
		return nil
	}
	if ids.proxies, err = authn.OpenAuthorities(s.parts.files, settings.RequestHeader.CAFiles, nil); err != nil {
		return fmt.Errorf("authentication.requestHeader.caFiles: %w", err)
	}
	if err := checkProxies(ids.proxies, ids.clients, settings.RequestHeader.AllowedNames); err != nil {
		return err
	}
	ids.headers = authn.RequestHeaders{
		Authorities:   ids.proxies.Pool,
		AllowedNames:  settings.RequestHeader.AllowedNames,
		Username:      settings.RequestHeader.UsernameHeaders,
		UID:           settings.RequestHeader.UIDHeaders,
		Group:         settings.RequestHeader.GroupHeaders,
		ExtraPrefixes: settings.RequestHeader.ExtraHeaderPrefixes,
	}
	return nil
}

// checkProxies finds an authority that vouches for proxies and for everybody else: each client could say that it is anybody.
func checkProxies(proxies, clients *authn.Authorities, allowedNames []string) error {
	if len(allowedNames) > 0 {
		return nil
	}
	for _, one := range proxies.All() {
		if slices.ContainsFunc(clients.All(), one.Equal) {
			return fmt.Errorf("authentication.requestHeader.caFiles has the authority %s, whose certificates are accepted from every "+
				"client: each of them could be anybody; use an authority that signs nothing but the certificates of proxies, or say "+
				"in authentication.requestHeader.allowedNames which names are theirs", one.Subject)
		}
	}
	return nil
}

// rotateServiceAccountKeys is called whenever the directory of the keys may have changed, by one goroutine.
func (s *Server) rotateServiceAccountKeys() func() {
	logger := s.logger.With("part", "authentication")
	told := ""
	return func() {
		changed, err := s.pki.ReloadServiceAccountKeys()
		if err == nil && changed {
			err = s.parts.identities.keys.Rotate(s.pki.ServiceAccountSigner(), s.pki.ServiceAccountPublicKeys())
		}
		switch {
		case err != nil && err.Error() != told:
			told = err.Error()
			logger.Error("the service account keys have changed and cannot be used; those of before stay in use", "error", err)
		case err == nil:
			told = ""
			if changed {
				logger.Info("service account keys have changed", "verify", len(s.pki.ServiceAccountPublicKeys()))
			}
		}
	}
}

// members are those of the first gate that are on, in the order that the configuration gives, and who is anonymous.
func (s *Server) members() ([]authn.Member, apiserver.AnonymousAuthConfig, error) {
	settings, ids := s.config.Authentication, &s.parts.identities
	logger := s.logger.With("part", "authentication")
	anonymous := anonymousAt(settings.AnonymousPaths)
	for name, consequence := range map[string]string{
		config.MemberClientCertificate: "admin.kubeconfig lets nobody in", config.MemberServiceAccount: "pods cannot come in",
	} {
		if !slices.Contains(settings.Order, name) {
			logger.Warn("authentication.order leaves out "+name, "consequence", consequence)
		}
	}
	var members []authn.Member
	var errs []error
	order := settings.Order
	if !slices.Contains(order, config.MemberPlugins) {
		order = append(slices.Clip(order), config.MemberPlugins)
	}
	for _, name := range order {
		var member authn.Member
		var err error
		on := true
		switch name {
		case config.MemberClientCertificate:
			member = authn.ClientCertificates(ids.clients.Pool)
		case config.MemberRequestHeader:
			if on = ids.proxies != nil; on {
				member = authn.RequestHeader(ids.headers, ids.audiences)
			}
		case config.MemberPassword:
			if on = len(settings.PasswordFiles) > 0; on {
				member, err = authn.PasswordFiles(s.parts.files, settings.PasswordFiles, logger)
			}
		case config.MemberTokenFile:
			if on = len(settings.TokenFiles) > 0; on {
				member, err = authn.TokenFiles(s.parts.files, settings.TokenFiles, ids.audiences, logger)
			}
		case config.MemberServiceAccount:
			member, err = authn.ServiceAccounts(ids.keys, ids.issuers, ids.audiences, s.parts.client, s.serviceAccountsRevision())
		case config.MemberBootstrapToken:
			if on = settings.BootstrapTokens; on {
				member = authn.BootstrapTokens(s.parts.client, ids.audiences)
			}
		case config.MemberJWT:
			if on = settings.ConfigFile != ""; on {
				member, anonymous, err = s.openJSONWebTokens(anonymous)
			}
		case config.MemberWebhook:
			if on = settings.Webhook.ConfigFile != ""; on {
				member, err = authn.Webhook(s.parts.files, settings.Webhook.ConfigFile, settings.Webhook.Version,
					settings.Webhook.CacheTTL, ids.audiences)
			}
		case config.MemberPlugins:
			member = s.pluginMember(plugins.AllBut(config.PluginMembers(order)))
		default:
			plugin, found := config.PluginMember(name)
			if !found {
				err = fmt.Errorf("there is no member %s", name)
				break
			}
			member = s.pluginMember(plugins.Named(plugin))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("authentication by %s: %w", name, err))
		} else if on {
			member.Name = name
			members = append(members, member)
		}
	}
	return members, anonymous, errors.Join(errs...)
}

// pluginMember is the member that asks plugins who somebody is.
func (s *Server) pluginMember(selection plugins.Selection) authn.Member {
	return authn.Plugins(s.parts.plugins.Authentication(selection, s.parts.identities.audiences), func(err error) bool {
		return errors.Is(err, plugins.ErrUnavailable)
	})
}

// serviceAccountsRevision tells of changes of service accounts as soon as they are acknowledged.
func (s *Server) serviceAccountsRevision() func() int64 {
	accounts := s.parts.informers.Core().V1().ServiceAccounts().Informer().GetIndexer()
	if present, ok := accounts.(interface{ Revision() int64 }); ok {
		return present.Revision
	}
	return nil // of no consequence but that tokens are remembered for a while after their accounts are gone
}

// openJSONWebTokens reads the AuthenticationConfiguration, which may also say who is anonymous.
func (s *Server) openJSONWebTokens(anonymous apiserver.AnonymousAuthConfig) (authn.Member, apiserver.AnonymousAuthConfig, error) {
	settings, ids := s.config.Authentication, &s.parts.identities
	read, err := authn.OpenJSONWebTokens(s.background, s.parts.files, settings.ConfigFile, ids.issuers, ids.audiences,
		s.logger.With("part", "authentication"))
	switch {
	case err != nil:
		return authn.Member{}, anonymous, err
	case read.Anonymous == nil:
		return read.Member, anonymous, nil
	case settings.AnonymousPaths != nil:
		return authn.Member{}, anonymous, fmt.Errorf("%s says who is anonymous, and authentication.anonymousPaths as well; keep one",
			settings.ConfigFile)
	default:
		return read.Member, *read.Anonymous, nil
	}
}

// anonymousAt is who needs no credentials. Nil stands for the default, which are probes.
func anonymousAt(paths []string) apiserver.AnonymousAuthConfig {
	if paths == nil {
		paths = health.Paths()
	}
	anonymous := apiserver.AnonymousAuthConfig{Enabled: len(paths) > 0}
	for _, path := range paths {
		if path == everyPath {
			return apiserver.AnonymousAuthConfig{Enabled: true}
		}
		anonymous.Conditions = append(anonymous.Conditions, apiserver.AnonymousAuthCondition{Path: path})
	}
	return anonymous
}

func allowsEverything(member authz.Tally) bool { return member.Type == modes.ModeAlwaysAllow }

// everybody tells whether nobody needs credentials, whatever is asked for.
func everybody(anonymous apiserver.AnonymousAuthConfig) bool {
	return anonymous.Enabled && len(anonymous.Conditions) == 0
}

// tlsConfig is the bundle's, with all authorities that client certificates can be of: clients choose theirs by that.
func (s *Server) tlsConfig() *tls.Config {
	base := s.pki.TLSConfig()
	ids := &s.parts.identities
	var mu sync.Mutex
	var clients, proxies *x509.CertPool
	var current *tls.Config // guarded by mu, as are the pools it was made of
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		if current != nil && clients == ids.clients.Pool() && (ids.proxies == nil || proxies == ids.proxies.Pool()) {
			return current, nil
		}
		pool := x509.NewCertPool()
		clients = ids.clients.Pool()
		for _, certificate := range ids.clients.All() {
			pool.AddCert(certificate)
		}
		if ids.proxies != nil {
			proxies = ids.proxies.Pool()
			for _, certificate := range ids.proxies.All() {
				pool.AddCert(certificate)
			}
		}
		current = base.Clone()
		current.GetConfigForClient = nil
		current.ClientCAs = pool
		return current, nil
	}
	return base
}
