package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	upstream "k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes"
	netutils "k8s.io/utils/net"

	"gatehouse/engine/admission"
	"gatehouse/engine/api"
	"gatehouse/engine/api/openapi"
	"gatehouse/engine/api/read"
	"gatehouse/engine/authn"
	"gatehouse/engine/authz"
	"gatehouse/engine/catalog"
	"gatehouse/engine/config"
	"gatehouse/engine/controllers"
	"gatehouse/engine/controllers/garbage"
	"gatehouse/engine/files"
	"gatehouse/engine/health"
	"gatehouse/engine/loopback"
	"gatehouse/engine/objects"
	"gatehouse/engine/objects/cache"
	"gatehouse/engine/objects/informers"
	"gatehouse/engine/pluginapi"
	"gatehouse/engine/proxy"
	"gatehouse/engine/storage"
	"gatehouse/engine/storage/sqlite"
	"gatehouse/plugins"
	"gatehouse/plugins/capability"
	"gatehouse/plugins/sandbox"
)

const (
	// minWatchTimeout is upstream's --min-request-timeout.
	minWatchTimeout = 30 * time.Minute
	// kubernetesServicePort is where pods find the API server, at the first address of the service network.
	kubernetesServicePort = 443
	// maxCompactionInterval is how often the store forgets the past, unless that is kept for less.
	maxCompactionInterval = time.Minute
	// databaseFile is the store's file in the data directory.
	databaseFile = "gatehouse.db"
	// compiledDir holds compiled plugins, below the data directory.
	compiledDir = "plugin-cache"
	// pluginsDir is where plugins are put unless the configuration names another folder, below the data directory.
	pluginsDir = "plugins"
	privateDir = 0o700
)

// parts are what a server is made of, in the order in which they are built.
type parts struct {
	store     *sqlite.Store
	cache     *cache.Cache
	stores    *objects.Stores
	reads     read.Counts
	loopback  *loopback.Transport
	client    kubernetes.Interface
	informers *informers.Factory
	files     *files.Set

	identities    identities
	authenticator *authn.Chain
	authorizer    *authz.Chain
	transports    *proxy.Transports
	catalog       *catalog.Catalog
	plugins       *plugins.Set
	reach         *reach
	admission     *admission.Chain
	api           *api.API
	openapi       *openapi.Service
}

func (s *Server) assemble(ctx context.Context) error {
	for _, step := range []struct {
		what  string
		build func(context.Context) error
	}{
		{"open the database", s.openStore},
		{"connect the server to itself", s.connectLoopback},
		{"follow the configured files", s.followFiles},
		{"load the plugins", s.openPlugins},
		{"set up authorization", s.buildAuthz},
		{"set up authentication", s.buildAuthn},
		{"connect with the nodes", s.connectNodes},
		{"install the built-in kinds", s.buildCatalog},
		{"set up admission", s.buildAdmission},
		{"set up the API", s.buildAPI},
		{"let the informers read", s.serveInformers},
		{"let the plugins ask", s.servePlugins},
	} {
		if err := step.build(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (s *Server) openStore(ctx context.Context) (err error) {
	s.parts.cache = cache.New(cache.Options{FormBytes: s.config.Cache.Forms, Logger: s.logger.With("part", "cache")})
	s.parts.store, err = sqlite.Open(ctx, filepath.Join(s.config.DataDir, databaseFile), sqlite.Options{
		Retention: s.config.Storage.CompactionRetention,
		// No past is kept for twice as long as it is wanted.
		CompactionInterval: min(s.config.Storage.CompactionRetention, maxCompactionInterval),
		Logger:             s.logger.With("part", "storage"),
		Observers:          []storage.Observer{s.parts.cache.Observe},
	})
	if err != nil {
		return err
	}
	s.parts.stores = objects.NewStores(s.parts.store)
	return s.parts.cache.Serve(ctx, s.parts.store)
}

func (s *Server) connectLoopback(context.Context) (err error) {
	s.parts.loopback = &loopback.Transport{}
	if s.parts.client, err = kubernetes.NewForConfig(s.parts.loopback.Config()); err != nil {
		return err
	}
	// No resync: nothing that reads these informers depends on being told again what it was told.
	s.parts.informers = informers.New(s.parts.client, informers.Options{Logger: s.logger.With("part", "informers")})
	return nil
}

func (s *Server) followFiles(context.Context) error {
	s.parts.files = files.NewSet(s.logger.With("part", "files"))
	return nil
}

// startInformers starts the informers that have been asked for and do not run yet.
func (s *Server) startInformers() { s.parts.informers.Start(s.background.Done()) }

func (s *Server) buildAuthz(context.Context) (err error) {
	config := s.config.Authorization
	s.parts.authorizer, err = authz.New(authz.Options{
		Members:           config.Order,
		ConfigurationFile: config.ConfigFile,
		PolicyFile:        config.PolicyFile,
		Webhook: authz.Webhook{
			ConfigFile:      config.Webhook.ConfigFile,
			Version:         config.Webhook.Version,
			AuthorizedTTL:   config.Webhook.AuthorizedTTL,
			UnauthorizedTTL: config.Webhook.UnauthorizedTTL,
			Timeout:         config.Webhook.Timeout,
			FailurePolicy:   config.Webhook.FailurePolicy,
		},
		Plugins:        s.authorizingPlugins(),
		OpenPaths:      health.Paths(),
		Informers:      s.parts.informers,
		StartInformers: s.startInformers,
		Files:          s.parts.files,
		Logger:         s.logger.With("part", "authorization"),
	})
	return err
}

// authorizingPlugins are the members of the second gate that ask plugins, by their names in the configuration.
func (s *Server) authorizingPlugins() map[string]authz.PluginMember {
	named := config.PluginMembers(s.config.Authorization.Order)
	members := map[string]authz.PluginMember{config.MemberPlugins: s.parts.plugins.Authorization(plugins.AllBut(named))}
	for _, name := range named {
		members[config.PluginMemberOf(name)] = s.parts.plugins.Authorization(plugins.Named(name))
	}
	return members
}

func (s *Server) connectNodes(context.Context) error {
	options := proxy.Options{ClientCertificate: s.pki.KubeletClient, ServingCertificate: s.pki.Serving}
	if file := s.config.Kubelets.CAFile; file != "" {
		authorities, err := authn.OpenAuthorities(s.parts.files, []string{file}, nil)
		if err != nil {
			return fmt.Errorf("kubelets.caFile: %w", err)
		}
		options.Authorities = authorities.Pool
	}
	s.parts.transports = proxy.New(options)
	return nil
}

func (s *Server) buildCatalog(context.Context) (err error) {
	primary, secondary := s.serviceCIDRs()
	s.parts.catalog, err = catalog.New(catalog.Config{
		Decorator:            s.parts.stores.Decorate,
		Loopback:             s.parts.loopback.Config(),
		Informers:            s.parts.informers,
		Authenticator:        s.parts.authenticator.Reviewer(),
		Authorizer:           s.parts.authorizer,
		RuleResolver:         s.parts.authorizer,
		Audiences:            s.parts.identities.audiences,
		ServiceAccountIssuer: s.parts.identities.keys,
		ServiceCIDR:          primary,
		SecondaryServiceCIDR: secondary,
		NodePorts:            s.config.Services.NodePorts,
		EventTTL:             s.config.Events.TTL,
		Others:               []catalog.Provider{pluginapi.Provider{Plugins: s.parts.plugins, Authorizer: s.parts.authorizer}},
		Self:                 s.self(),
		KubeletAddresses:     s.config.Kubelets.AddressTypes,
		Transports:           s.parts.transports,
	})
	return err
}

func (s *Server) openPlugins(ctx context.Context) (err error) {
	dir := s.config.Plugins.Dir
	if dir == filepath.Join(s.config.DataDir, pluginsDir) {
		// The default folder is ours to make. Any other has to be there: policies must not be lost to a misspelt path.
		if err := os.MkdirAll(dir, privateDir); err != nil {
			return fmt.Errorf("make the plugin folder: %w", err)
		}
	}
	s.parts.reach = newReach(s.parts.loopback)
	configured := make(map[string]plugins.Configured, len(s.config.Plugins.Configurations))
	for name, one := range s.config.Plugins.Configurations {
		configured[name] = plugins.Configured{YAML: one.YAML, Origin: one.Origin}
	}
	s.parts.plugins, err = plugins.Open(ctx, plugins.Options{
		Dir:        dir,
		CacheDir:   filepath.Join(s.config.DataDir, compiledDir),
		Limits:     sandbox.Limits{Memory: s.config.Plugins.MemoryLimit, Deadline: s.config.Plugins.Deadline},
		Logger:     s.logger.With("part", "plugins"),
		PublicKeys: s.config.Plugins.PublicKeys,
		// A server that a broken plugin keeps from making its own namespaces and roles could not even be asked what is wrong.
		Exempt:         loopback.Passed,
		Configurations: configured,
		Namespaces:     s.parts.informers.Core().V1().Namespaces().Lister(),
		Client:         s.parts.client,
		Authorizer:     s.parts.reach,
		Capabilities:   capability.Host{Objects: s.parts.reach, Access: s.parts.reach},
	})
	return err
}

func (s *Server) buildAdmission(context.Context) (err error) {
	services := admission.ClusterIPs(s.parts.informers)
	if s.config.Services.Routing == config.RoutingEndpoints {
		if services, err = admission.Endpoints(s.parts.informers); err != nil {
			return err
		}
	}
	// In metrics alone; a machine without a name is one as well.
	host, _ := os.Hostname()
	members := s.config.Admission.Members()
	s.parts.admission, err = admission.New(admission.Config{
		Members:        members,
		Plugins:        s.admittingPlugins(members),
		ConfigFile:     s.config.Admission.ConfigFile,
		Client:         s.parts.client,
		Loopback:       s.parts.loopback.Config(),
		Informers:      s.parts.informers,
		StartInformers: s.startInformers,
		Authorizer:     s.parts.authorizer,
		Services:       services,
		ServerID:       host,
		Done:           s.background.Done(),
		Logger:         s.logger.With("part", "admission"),
	})
	return err
}

// admittingPlugins are the members of the third gate that ask plugins, by their names in the configuration.
func (s *Server) admittingPlugins(members []string) map[string]upstream.Interface {
	named := config.PluginMembers(members)
	asking := map[string]upstream.Interface{config.MemberPlugins: s.parts.plugins.Admission(plugins.AllBut(named))}
	for _, name := range named {
		asking[config.PluginMemberOf(name)] = s.parts.plugins.Admission(plugins.Named(name))
	}
	return asking
}

func (s *Server) buildAPI(context.Context) (err error) {
	if s.parts.openapi, err = openapi.New(); err != nil {
		return err
	}
	s.parts.api, err = api.New(api.Config{
		Catalog:         s.parts.catalog,
		Authorizer:      s.parts.authorizer,
		Admission:       exceptSelf{s.parts.admission},
		TypeConverter:   openapi.NewTypeConverters().For,
		MaxBodyBytes:    s.config.Requests.MaxBodySize,
		MinWatchTimeout: minWatchTimeout,
		Cache:           s.parts.cache,
		Stores:          s.parts.stores,
		Reads:           &s.parts.reads,
	})
	return err
}

func (s *Server) serveInformers(context.Context) error {
	s.parts.informers.Serve(s.parts.api.Informed)
	return nil
}

func (s *Server) servePlugins(context.Context) error {
	s.parts.reach.serve(s.parts.api, s.parts.authorizer)
	return nil
}

// newLoops builds what runs beside the requests, for a server that is reached at port.
func (s *Server) newLoops(port int) (*controllers.Loops, error) {
	primary, secondary := s.serviceCIDRs()
	serviceIP, err := s.serviceIP()
	if err != nil {
		return nil, err
	}
	self, err := s.shownAs(port, time.Now())
	if err != nil {
		return nil, fmt.Errorf("show the server in the cluster: %w", err)
	}
	return controllers.New(s.background, controllers.Config{
		Self:                 self,
		Loopback:             s.parts.loopback.Config(),
		Informers:            s.parts.informers,
		Logger:               s.logger.With("part", "controllers"),
		ServiceCIDR:          primary,
		SecondaryServiceCIDR: secondary,
		ServiceIP:            serviceIP,
		ServicePort:          kubernetesServicePort,
		AdvertiseIP:          s.config.AdvertiseAddress.AsSlice(),
		AdvertisePort:        port,
		Certificates: controllers.Certificates{
			Sign:        s.pki.Sign,
			MaxDuration: s.config.CertificateRequests.MaxDuration,
		},
		Trust:           s.trust(),
		Runs:            s.config.Controllers.Runs,
		StartInformers:  s.startInformers,
		RootCA:          s.pki.CAPEM(),
		LegacyTokens:    s.parts.identities.keys.Legacy(),
		BootstrapTokens: s.config.Authentication.BootstrapTokens,
		Kinds:           s.kinds,
		Informed:        s.parts.api.Informed,
		Cache:           s.parts.cache,
		Namespaced:      s.parts.api.Namespaced,
		AwaitWrites:     s.parts.api.AwaitWrites,
		Hooks:           s.parts.catalog.Hooks,
		IPRepair:        s.parts.catalog.IPRepair,
	})
}

// kinds are those that the server stores, as the garbage collector knows them. As upstream's, it never looks at Events.
func (s *Server) kinds() []garbage.Kind {
	var kinds []garbage.Kind
	for _, stored := range s.parts.api.StoredKinds() {
		can := func(verb string) bool { return slices.Contains(stored.Verbs, verb) }
		kinds = append(kinds, garbage.Kind{
			Kind: stored.Kind, Resource: stored.Resource, Versions: stored.Versions, Namespaced: stored.Namespaced,
			Collected:  can("delete") && can("list") && can("watch") && stored.Resource.Resource != "events",
			Collection: stored.Collection, Prefix: stored.Prefix,
		})
	}
	return kinds
}

// serviceIP is the cluster IP of the kubernetes Service: the first address of the service network.
func (s *Server) serviceIP() (net.IP, error) {
	network, _ := s.serviceCIDRs()
	ip, err := netutils.GetIndexedIP(&network, 1)
	if err != nil {
		return nil, fmt.Errorf("find the first address of the service CIDR %s: %w", network.String(), err)
	}
	return ip, nil
}

// serviceCIDRs are the configured ranges, the second one empty if there is only one.
func (s *Server) serviceCIDRs() (primary, secondary net.IPNet) {
	ranges := []*net.IPNet{&primary, &secondary}
	for i, prefix := range s.config.Services.CIDRs {
		*ranges[i] = ipNet(prefix)
	}
	return primary, secondary
}

func ipNet(prefix netip.Prefix) net.IPNet {
	prefix = prefix.Masked()
	return net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}

func (p *parts) close() error {
	var failures []error
	if p.informers != nil {
		p.informers.Shutdown()
		p.informers = nil
	}
	if p.files != nil {
		p.files.Close()
		p.files = nil
	}
	if p.plugins != nil {
		p.plugins.Close()
		p.plugins = nil
	}
	if p.catalog != nil {
		p.catalog.Close()
		p.catalog = nil
	}
	if p.transports != nil {
		p.transports.Close()
		p.transports = nil
	}
	if p.cache != nil {
		p.cache.Close()
		p.cache = nil
	}
	if p.store != nil {
		failures = append(failures, p.store.Close())
		p.store = nil
	}
	return errors.Join(failures...)
}
