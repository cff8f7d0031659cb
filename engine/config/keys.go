package config

import (
	"strings"
	"time"
	"unicode"
)

// key is one setting: its names, what it means, and the field of one Config that it sets.
type key struct {
	path  string // in the file: "storage.compactionRetention"
	arg   string // what help calls the value: "DURATION"
	usage string // what it means, in a line for help
	short string // a flag's name where it is not the one derived from path
	value value
}

// keys lists every setting there is, in the order of the file and of help, bound to the fields of c.
func keys(c *Config) []key {
	return []key{
		{path: "dataDir", arg: "DIR", value: pathValue(&c.DataDir),
			usage: "directory for the database, the keys and the certificates"},
		{path: "listen", arg: "HOST:PORT", value: hostPortValue(&c.Listen),
			usage: "where to serve HTTPS; no host means every address of this machine, port 0 any free port"},
		{path: "advertiseAddress", arg: "IP", value: addressValue(&c.AdvertiseAddress),
			usage: "address at which pods and nodes reach this server; unset means that of the default route"},

		{path: "certificate.extraNames", arg: "NAME,...", value: namesValue(&c.Certificate.ExtraNames),
			usage: "more DNS names and IP addresses for the serving certificate"},

		{path: "certificateRequests.maxDuration", arg: "DURATION",
			value: durationValue(&c.CertificateRequests.MaxDuration, 10*time.Minute, 20*365*24*time.Hour),
			usage: "longest that certificates last that are issued on request"},

		{path: "services.cidrs", arg: "CIDR,...", value: serviceCIDRsValue(&c.Services.CIDRs),
			usage: "range of ClusterIPs, or one of each family"},
		{path: "services.nodePorts", arg: "FROM-TO", value: portRangeValue(&c.Services.NodePorts),
			usage: "range of node ports"},
		{path: "services.routing", arg: "HOW", value: choiceValue(&c.Services.Routing, RoutingClusterIP, RoutingEndpoints),
			usage: "where the server finds Services of webhooks: at their clusterIP, or at one of their endpoints"},

		{path: "kubelets.caFile", arg: "FILE", value: pathValue(&c.Kubelets.CAFile),
			usage: "authorities of kubelets' serving certificates; unset means that these are not verified"},
		{path: "kubelets.addressTypes", arg: "TYPE,...", value: addressTypesValue(&c.Kubelets.AddressTypes),
			usage: "types of nodes' addresses, the preferred first"},

		{path: "serviceAccounts.issuer", arg: "URL", value: issuerValue(&c.ServiceAccounts.Issuer),
			usage: "issuer and audience of service account tokens"},
		{path: "serviceAccounts.acceptedIssuers", arg: "URL,...", value: issuersValue(&c.ServiceAccounts.AcceptedIssuers),
			usage: "other issuers of service account tokens that are accepted, such as those of before"},
		{path: "serviceAccounts.audiences", arg: "NAME,...", value: textsValue(&c.ServiceAccounts.Audiences, "an audience"),
			usage: "audiences that tokens for this server can have; unset means the issuers"},

		{path: "authentication.order", arg: "NAME,...", value: orderValue(&c.Authentication.Order, AuthenticationMembers()),
			usage: "who is asked in turn who a client is; the first that knows decides, those without a file are passed over"},
		{path: "authentication.clientCaFiles", arg: "FILE,...", value: filesValue(&c.Authentication.ClientCAFiles),
			usage: "authorities of client certificates besides the server's own"},
		{path: "authentication.requestHeader.caFiles", arg: "FILE,...", value: filesValue(&c.Authentication.RequestHeader.CAFiles),
			usage: "authorities of proxies that may say in headers who a client is"},
		{path: "authentication.requestHeader.allowedNames", arg: "NAME,...",
			value: textsValue(&c.Authentication.RequestHeader.AllowedNames, "a common name"),
			usage: "common names that the proxies' certificates can have; unset means any"},
		{path: "authentication.requestHeader.usernameHeaders", arg: "HEADER,...",
			value: headersValue(&c.Authentication.RequestHeader.UsernameHeaders), usage: "headers with the user's name"},
		{path: "authentication.requestHeader.uidHeaders", arg: "HEADER,...",
			value: headersValue(&c.Authentication.RequestHeader.UIDHeaders), usage: "headers with the user's UID"},
		{path: "authentication.requestHeader.groupHeaders", arg: "HEADER,...",
			value: headersValue(&c.Authentication.RequestHeader.GroupHeaders), usage: "headers with the user's groups"},
		{path: "authentication.requestHeader.extraHeaderPrefixes", arg: "PREFIX,...",
			value: headersValue(&c.Authentication.RequestHeader.ExtraHeaderPrefixes), usage: "what headers about the user begin with"},
		{path: "authentication.passwordFiles", arg: "FILE,...", value: filesValue(&c.Authentication.PasswordFiles),
			usage: "users for basic authentication, on each line user:password, its base64, user:bcrypt, or password,user,uid,groups"},
		{path: "authentication.tokenFiles", arg: "FILE,...", value: filesValue(&c.Authentication.TokenFiles),
			usage: "bearer tokens, on each line token,user,uid,groups, or token and user"},
		{path: "authentication.bootstrapTokens", arg: "BOOL", value: boolValue(&c.Authentication.BootstrapTokens),
			usage: "whether bootstrap tokens, which are Secrets in kube-system, let new nodes in"},
		{path: "authentication.configFile", arg: "FILE", value: pathValue(&c.Authentication.ConfigFile),
			usage: "AuthenticationConfiguration of Kubernetes: issuers of JSON web tokens, and who is anonymous"},
		{path: "authentication.webhook.configFile", arg: "FILE", value: pathValue(&c.Authentication.Webhook.ConfigFile),
			usage: "kubeconfig of a service that is asked about bearer tokens"},
		{path: "authentication.webhook.version", arg: "VERSION",
			value: choiceValue(&c.Authentication.Webhook.Version, "v1", "v1beta1"), usage: "version of the TokenReviews it is sent"},
		{path: "authentication.webhook.cacheTtl", arg: "DURATION",
			value: durationValue(&c.Authentication.Webhook.CacheTTL, 0, time.Hour), usage: "how long its answers hold"},
		{path: "authentication.anonymousPaths", arg: "PATH,...", value: openPathsValue(&c.Authentication.AnonymousPaths),
			usage: "paths that need no credentials, * for all; unset means the health endpoints"},

		{path: "authorization.order", arg: "NAME,...", value: gateOrderValue(&c.Authorization.Order),
			usage: "who is asked in turn what a client may do; the first that allows or denies decides"},
		{path: "authorization.policyFile", arg: "FILE", value: pathValue(&c.Authorization.PolicyFile),
			usage: "policies that abac decides by, in JSON"},
		{path: "authorization.configFile", arg: "FILE", value: pathValue(&c.Authorization.ConfigFile),
			usage: "AuthorizationConfiguration of Kubernetes, in place of order and webhook"},
		{path: "authorization.webhook.configFile", arg: "FILE", value: pathValue(&c.Authorization.Webhook.ConfigFile),
			usage: "kubeconfig of a service that is asked what clients may do"},
		{path: "authorization.webhook.version", arg: "VERSION",
			value: choiceValue(&c.Authorization.Webhook.Version, "v1", "v1beta1"), usage: "version of the SubjectAccessReviews it is sent"},
		{path: "authorization.webhook.authorizedTtl", arg: "DURATION",
			value: durationValue(&c.Authorization.Webhook.AuthorizedTTL, 0, time.Hour), usage: "how long its permissions hold"},
		{path: "authorization.webhook.unauthorizedTtl", arg: "DURATION",
			value: durationValue(&c.Authorization.Webhook.UnauthorizedTTL, 0, time.Hour), usage: "how long its other answers hold"},
		{path: "authorization.webhook.timeout", arg: "DURATION",
			value: durationValue(&c.Authorization.Webhook.Timeout, 100*time.Millisecond, 30*time.Second), usage: "how long it may take to answer"},
		{path: "authorization.webhook.failurePolicy", arg: "POLICY",
			value: choiceValue(&c.Authorization.Webhook.FailurePolicy, FailurePolicyDeny, FailurePolicyNoOpinion),
			usage: "what its failures mean: Deny, or NoOpinion, by which those after it are asked"},

		{path: "admission.enable", arg: "NAME,...", value: admissionMembersValue(&c.Admission.Enable),
			usage: "admission plugins of Kubernetes that are on besides those that are by default"},
		{path: "admission.disable", arg: "NAME,...", value: admissionMembersValue(&c.Admission.Disable),
			usage: "admission plugins of Kubernetes that are off although they are on by default"},
		{path: "admission.order", arg: "NAME,...", value: admissionOrderValue(&c.Admission.Order),
			usage: "where WebAssembly plugins stand among those: directly after, or at the beginning before, what is listed next to them"},
		{path: "admission.configFile", arg: "FILE", value: pathValue(&c.Admission.ConfigFile),
			usage: "AdmissionConfiguration of Kubernetes: the configuration of single admission plugins"},
		{path: "controllers", arg: "NAME,...", value: controllersValue(&c.Controllers),
			usage: "loops that run here: * for all, -NAME for all but one; external leaves them to a kube-controller-manager"},

		{path: "events.ttl", arg: "DURATION", value: durationValue(&c.Events.TTL, time.Minute, 365*24*time.Hour),
			usage: "how long an Event is kept"},

		{path: "storage.compactionRetention", arg: "DURATION",
			value: durationValue(&c.Storage.CompactionRetention, time.Second, 7*24*time.Hour),
			usage: "how long past revisions can be read and watched from"},

		{path: "cache.forms", arg: "SIZE", value: sizeValue(&c.Cache.Forms, 1<<20, 64<<30),
			usage: "memory for encoded objects beyond one encoding of each"},

		{path: "requests.maxBodySize", arg: "SIZE", value: sizeValue(&c.Requests.MaxBodySize, 64<<10, 64<<20),
			usage: "largest request body"},
		{path: "requests.timeout", arg: "DURATION", value: durationValue(&c.Requests.Timeout, time.Second, time.Hour),
			usage: "how long a request may take, watches excepted"},
		{path: "requests.maxInFlight", arg: "N", value: countValue(&c.Requests.MaxInFlight, 1, 100_000),
			usage: "reading requests served at once"},
		{path: "requests.maxMutatingInFlight", arg: "N", value: countValue(&c.Requests.MaxMutatingInFlight, 1, 100_000),
			usage: "writing requests served at once"},

		{path: "plugins.dir", arg: "DIR", short: "plugins", value: pathValue(&c.Plugins.Dir),
			usage: "folder of WebAssembly plugins; unset means plugins in the data directory"},
		{path: "plugins.memoryLimit", arg: "SIZE", value: sizeValue(&c.Plugins.MemoryLimit, 1<<20, 4<<30),
			usage: "memory one instance of a plugin can grow to"},
		{path: "plugins.deadline", arg: "DURATION", value: durationValue(&c.Plugins.Deadline, time.Millisecond, time.Minute),
			usage: "how long one call of a plugin may take"},
		{path: "plugins.publicKeys", arg: "KEY,...", value: publicKeysValue(&c.Plugins.PublicKeys),
			usage: "minisign public keys, one of which must have signed every plugin's module; unset means that none need be signed"},

		{path: "shutdown.drainTimeout", arg: "DURATION", value: durationValue(&c.Shutdown.DrainTimeout, 0, time.Hour),
			usage: "how long requests under way may go on after SIGTERM"},

		{path: "log.level", arg: "LEVEL", value: levelValue(&c.Log.Level),
			usage: "least severe level to log: debug, info, warn or error"},
		{path: "log.format", arg: "FORMAT", value: formatValue(&c.Log.Format),
			usage: "text, json, or auto: text on a terminal, json otherwise"},
		{path: "log.kept", arg: "SIZE", value: sizeValue(&c.Log.Kept, 4<<10, 1<<30),
			usage: "how much of the log's end is kept in memory, for kubectl logs of the server's own Pod"},
	}
}

// flag is the key's name as a flag, without dashes: "storage-compaction-retention".
func (k key) flag() string {
	if k.short != "" {
		return k.short
	}
	return strings.Join(words(k.path), "-")
}

// variable is the key's name in the environment: "GATEHOUSE_STORAGE_COMPACTION_RETENTION".
func (k key) variable() string {
	return variablePrefix + strings.ToUpper(strings.Join(words(k.path), "_"))
}

// words splits a path at dots and before capitals, and lowers them: "log.fileName" is log, file, name.
func words(path string) []string {
	var spaced strings.Builder
	for _, r := range path {
		switch {
		case r == '.':
			spaced.WriteByte(' ')
		case unicode.IsUpper(r):
			spaced.WriteByte(' ')
			spaced.WriteRune(unicode.ToLower(r))
		default:
			spaced.WriteRune(r)
		}
	}
	return strings.Fields(spaced.String())
}
