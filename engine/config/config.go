// Package config says how a server is to run.
//
// A Config comes from four layers, each overriding the one before: the defaults, a YAML file, variables of the environment
// that start with GATEHOUSE_, and flags. Every key has one name from which the others follow: storage.compactionRetention
// in the file is GATEHOUSE_STORAGE_COMPACTION_RETENTION and --storage-compaction-retention. The table in keys.go holds
// them all; reading, errors, help and printing work from it.
//
// Reading is strict. A key that does not exist or a value that cannot be used is an error which says where it was set,
// what it is and what it should be, because a setting that is silently ignored is found out when it is needed.
//
// The package neither opens the files it names nor makes directories: whoever uses a setting does.
package config

import (
	"log/slog"
	"net/netip"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"

	"gatehouse/plugins/signature"
)

// Config is everything that can be set about a server. Load returns it whole and valid: every field can be used as it is.
// It holds no secrets but what plugins are given in Plugins.Configurations, see WithoutSecrets. Treat it as a value that does not change; its slices are not to be written to.
type Config struct {
	// DataDir is the absolute path of the directory that holds the database, the keys and the certificates.
	// One server at a time can have it. Default: "data" in the working directory.
	DataDir string

	// Listen is the host:port to serve HTTPS on. An empty host means every address of this machine, port 0 any free port.
	// Default: 127.0.0.1:6443, so that nothing is reachable from elsewhere before somebody decides so.
	Listen string

	// AdvertiseAddress is the address at which pods and nodes reach this server: the one endpoint of the Service
	// default/kubernetes. It has the family of the first of Services.CIDRs. Default: the host of Listen if that is an
	// address other machines can reach, loopback if Listen is, else the address of the interface with the default route. A machine that has
	// neither gets loopback, which no Endpoints object may hold: see IsLoopback before publishing it.
	AdvertiseAddress netip.Addr

	Certificate         Certificate
	CertificateRequests CertificateRequests
	Services            Services
	Kubelets            Kubelets
	ServiceAccounts     ServiceAccounts
	Authentication      Authentication
	Authorization       Authorization
	Admission           Admission
	Controllers         Controllers
	Events              Events
	Storage             Storage
	Cache               Cache
	Requests            Requests
	Plugins             Plugins
	Shutdown            Shutdown
	Log                 Log
}

// Certificate is about the certificate the server shows its clients.
type Certificate struct {
	// ExtraNames are DNS names and IP addresses the certificate is valid for besides those of the machine and of the
	// Service default/kubernetes: a load balancer's, a dynamic DNS name. Default: none.
	ExtraNames []string
}

// CertificateRequests is about what becomes of objects of kind CertificateSigningRequest.
type CertificateRequests struct {
	// MaxDuration is how long certificates last that the server's own signers issue; who asks for less gets less, down to
	// ten minutes. Default: 8760h, a year.
	MaxDuration time.Duration
}

// Services is about what the server hands out to objects of kind Service.
type Services struct {
	// CIDRs are the ranges ClusterIPs come from: one, or one of each family with the preferred family first. They must
	// not overlap the pods' or the machines' own networks, and cannot change once Services exist. Default: 10.96.0.0/12,
	// as kubeadm has it; kube-apiserver's own 10.0.0.0/24 is a common home network and has room for 254 Services.
	CIDRs []netip.Prefix

	// NodePorts is the range of ports that Services of type NodePort open on every node. Default: 30000-32767.
	NodePorts utilnet.PortRange

	// Routing says where the server itself finds Services, such as those of admission webhooks: at their clusterIP, which takes a
	// kube-proxy on this machine, or at one of their endpoints, which takes a route to the pods. Default: clusterIP.
	Routing string
}

// The values of Services.Routing.
const (
	RoutingClusterIP = "clusterIP"
	RoutingEndpoints = "endpoints"
)

// ServiceAccounts is about the tokens that pods authenticate with.
type ServiceAccounts struct {
	// Issuer is the URL that names this server in the tokens it signs ("iss") and, as audience, in the tokens meant for it.
	// Tokens of another issuer do not authenticate. Default: https://kubernetes.default.svc.cluster.local.
	Issuer string

	// AcceptedIssuers are other URLs that tokens can have been signed in the name of, say because Issuer was changed. They are
	// still verified with the server's own keys. Default: none.
	AcceptedIssuers []string

	// Audiences are those that a token can be meant for to be accepted here. Default: none, which means Issuer and
	// AcceptedIssuers.
	Audiences []string
}

// Events is about objects of kind Event.
type Events struct {
	// TTL is how long an Event is kept. Default: 1h.
	TTL time.Duration
}

// Storage is about the database.
type Storage struct {
	// CompactionRetention is how long the past stays readable: a watch or a paged list that is further behind starts
	// again (410 Gone). More of it costs disk. Default: 5m.
	CompactionRetention time.Duration
}

// Cache is about what is kept in memory to answer reads from.
type Cache struct {
	// Forms is how much memory encoded objects may take beyond the one encoding of each that is always kept, in bytes: objects in
	// JSON, their metadata alone, their past states. What was not asked for lately goes first, and is encoded again when it is
	// asked for. A pod takes some 5Ki. Default: 256Mi.
	Forms int64
}

// Requests limits what clients can ask for.
type Requests struct {
	// MaxBodySize is the largest request body, in bytes; a larger one is answered with 413. Default: 3Mi.
	MaxBodySize int64

	// Timeout is how long a request may take, watches and other long-running requests excepted. A client can ask for
	// less with ?timeout=, never for more. Default: 60s.
	Timeout time.Duration

	// MaxInFlight is how many requests that only read are served at once; more are answered with 429. Default: 400.
	MaxInFlight int

	// MaxMutatingInFlight is how many requests that write are served at once; more are answered with 429. Default: 200.
	MaxMutatingInFlight int
}

// Plugins is about the WebAssembly modules that stand in the gates.
type Plugins struct {
	// Dir is the absolute path of the folder whose .wasm files are loaded, at start and when they change. It must exist, but
	// for the default, which is made. Default: "plugins" in DataDir.
	Dir string

	// MemoryLimit is how much memory one instance of a plugin can grow to, in bytes. Default: 64Mi.
	MemoryLimit int64

	// Deadline is how long one call of a plugin may take before it is interrupted and its request denied. Default: 1s.
	Deadline time.Duration

	// PublicKeys are those of whom one must have signed every module, which has its signature in NAME.wasm.minisig. Default:
	// none, and modules need no signature.
	PublicKeys []signature.PublicKey

	// Configurations are those of single plugins, by their names, in place of NAME.yaml in Dir. They can be set in the file only.
	// Default: none.
	Configurations map[string]PluginConfiguration
}

// PluginConfiguration is how one plugin is run.
type PluginConfiguration struct {
	// YAML is a mapping that NAME.yaml could hold as it is.
	YAML []byte
	// Origin is where it stands: "gatehouse.yaml:12".
	Origin string
}

// Shutdown is about how the server ends.
type Shutdown struct {
	// DrainTimeout is how long requests under way may go on after SIGTERM before they are cut off. Default: 20s, which
	// leaves time within the 30s after which Kubernetes kills a pod.
	DrainTimeout time.Duration
}

// Log is about what the server tells its operator, on standard error.
type Log struct {
	// Level is the least severe level that is logged: debug, info, warn or error. Default: info.
	Level slog.Level

	// Format is how lines look. Default: auto.
	Format LogFormat

	// Kept is how much of the log's end is kept in memory, in bytes, for `kubectl logs` of the server's own Pod. Default: 256Ki.
	Kept int64
}

// LogFormat is how log lines look.
type LogFormat string

// The formats of log lines.
const (
	LogAuto LogFormat = "auto" // text on a terminal, JSON otherwise
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Default returns what holds when nothing is set. It is not yet complete: Load makes paths absolute and chooses
// AdvertiseAddress and Plugins.Dir, which depend on the machine and on other keys.
func Default() Config {
	return Config{
		DataDir:             "data",
		Listen:              "127.0.0.1:6443",
		CertificateRequests: CertificateRequests{MaxDuration: 365 * 24 * time.Hour},
		Services: Services{
			CIDRs:     []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")},
			NodePorts: utilnet.PortRange{Base: 30000, Size: 2768},
			Routing:   RoutingClusterIP,
		},
		Kubelets:        Kubelets{AddressTypes: addressTypes()},
		ServiceAccounts: ServiceAccounts{Issuer: "https://kubernetes.default.svc.cluster.local"},
		Authentication:  defaultAuthentication(),
		Authorization:   defaultAuthorization(),
		Admission:       defaultAdmission(),
		Controllers:     Controllers{ControllersDefault},
		Events:          Events{TTL: time.Hour},
		Storage:         Storage{CompactionRetention: 5 * time.Minute},
		Cache:           Cache{Forms: 256 << 20},
		Requests: Requests{
			MaxBodySize:         3 << 20,
			Timeout:             time.Minute,
			MaxInFlight:         400,
			MaxMutatingInFlight: 200,
		},
		Plugins:  Plugins{MemoryLimit: 64 << 20, Deadline: time.Second},
		Shutdown: Shutdown{DrainTimeout: 20 * time.Second},
		Log:      Log{Level: slog.LevelInfo, Format: LogAuto, Kept: 256 << 10},
	}
}
