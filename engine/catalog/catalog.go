// Package catalog knows which kinds exist and how each behaves. The built-in ones are upstream's REST storages (strategies,
// defaults, validation, print columns), put on our store by a generic.RESTOptionsGetter.
//
// It does not know of HTTP: engine/api turns its resources into verbs.
package catalog

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/capabilities"
	admissionregistrationrest "k8s.io/kubernetes/pkg/registry/admissionregistration/rest"
	appsrest "k8s.io/kubernetes/pkg/registry/apps/rest"
	authenticationrest "k8s.io/kubernetes/pkg/registry/authentication/rest"
	authorizationrest "k8s.io/kubernetes/pkg/registry/authorization/rest"
	autoscalingrest "k8s.io/kubernetes/pkg/registry/autoscaling/rest"
	batchrest "k8s.io/kubernetes/pkg/registry/batch/rest"
	certificatesrest "k8s.io/kubernetes/pkg/registry/certificates/rest"
	coordinationrest "k8s.io/kubernetes/pkg/registry/coordination/rest"
	discoveryrest "k8s.io/kubernetes/pkg/registry/discovery/rest"
	eventsrest "k8s.io/kubernetes/pkg/registry/events/rest"
	flowcontrolrest "k8s.io/kubernetes/pkg/registry/flowcontrol/rest"
	networkingrest "k8s.io/kubernetes/pkg/registry/networking/rest"
	noderest "k8s.io/kubernetes/pkg/registry/node/rest"
	policyrest "k8s.io/kubernetes/pkg/registry/policy/rest"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	resourcerest "k8s.io/kubernetes/pkg/registry/resource/rest"
	schedulingrest "k8s.io/kubernetes/pkg/registry/scheduling/rest"
	storagerest "k8s.io/kubernetes/pkg/registry/storage/rest"
	storagemigrationrest "k8s.io/kubernetes/pkg/registry/storagemigration/rest"
	"k8s.io/kubernetes/pkg/serviceaccount"

	"gatehouse/engine/proxy"
)

// Config is what the built-in kinds need from the server around them. All fields are required unless they say otherwise.
type Config struct {
	// Decorator makes the store of one resource.
	Decorator generic.StorageDecorator
	// Loopback is a client configuration that reaches this very server, as its own user. It may not work before the server
	// serves: nothing is asked of it while the catalog is built.
	Loopback *restclient.Config
	// Informers on Loopback; the catalog registers its interest, the server starts them.
	Informers informers.SharedInformerFactory

	Authenticator authenticator.Request
	Authorizer    authorizer.Authorizer
	RuleResolver  authorizer.RuleResolver
	Audiences     authenticator.Audiences

	// ServiceAccountIssuer signs what the token subresource of service accounts answers.
	ServiceAccountIssuer serviceaccount.TokenGenerator

	// ServiceCIDR is the range of cluster IPs, SecondaryServiceCIDR (optional) that of the other IP family.
	ServiceCIDR          net.IPNet
	SecondaryServiceCIDR net.IPNet
	NodePorts            utilnet.PortRange

	// EventTTL is how long Events live.
	EventTTL time.Duration

	// Others are groups besides Kubernetes' own, which come after these.
	Others []Provider

	// Self is the Pod that stands for the server.
	Self Self

	// KubeletAddresses are the types of nodes' addresses, the preferred first.
	KubeletAddresses []string
	// Transports reach kubelets for exec, logs and the like, and what is proxied to.
	Transports *proxy.Transports
}

// Catalog is the set of kinds served. It does not change after it was built.
type Catalog struct {
	// Groups in the order that kube-apiserver installs them, the legacy core group first.
	Groups []Group
	// Hooks bring the server's own objects into being; each runs once the server serves.
	Hooks []Hook
	// CheckClusterIPs tells whether Services can be given cluster IPs yet. It is a health check.
	CheckClusterIPs func(*http.Request) error
	// IPRepair keeps cluster IPs and the Services that own them in step; it runs until its channel closes.
	IPRepair func(onFirstSuccess func(), stop chan struct{})
	// Factory says where and in which version each resource is stored.
	Factory *serverstorage.DefaultStorageFactory

	destroy []func()
}

// Group is one API group.
type Group struct {
	Name string
	// Versions in order of preference, each with at least one resource.
	Versions []GroupVersion
}

// GroupVersion is what one version of a group serves.
type GroupVersion struct {
	schema.GroupVersion
	// Storage by resource ("pods") or subresource ("pods/status").
	Storage map[string]rest.Storage

	Scheme         *runtime.Scheme
	Codecs         runtime.NegotiatedSerializer
	ParameterCodec runtime.ParameterCodec
}

// Hook is work that upstream does once after start, such as ensuring the priority classes that every cluster has.
type Hook struct {
	Name string
	Run  genericapiserver.PostStartHookFunc
}

// Provider is upstream's factory type for the storages of one group (RESTStorageProvider of pkg/controlplane/apiserver).
type Provider interface {
	// GroupName is the group's name, empty for the core group.
	GroupName() string
	// NewRESTStorage makes the storages of the versions that are enabled. A storage need not store anything.
	NewRESTStorage(serverstorage.APIResourceConfigSource, generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error)
}

// New builds the catalog of the built-in kinds and the others.
func New(config Config) (*Catalog, error) {
	// Once for the process. kube-apiserver's flag for it is off by default, and every distribution turns it on: networks are set up
	// by privileged pods. Who may have them is PodSecurity's to say, namespace by namespace.
	capabilities.Setup(true, 0)
	client, err := kubernetes.NewForConfig(config.Loopback)
	if err != nil {
		return nil, fmt.Errorf("build the catalog's client: %w", err)
	}
	versions := defaultVersions()
	options, err := newRESTOptions(config.Decorator, versions)
	if err != nil {
		return nil, err
	}
	core, err := newCoreProvider(config, client, options)
	if err != nil {
		return nil, err
	}

	c := &Catalog{Factory: options.factory, CheckClusterIPs: core.clusterIPs.check, IPRepair: core.ipRepair, destroy: []func(){core.destroy}}
	for _, p := range append(providers(config, core, client), config.Others...) {
		if err := c.install(p, versions, options); err != nil {
			c.Close()
			return nil, fmt.Errorf("install API group %q: %w", p.GroupName(), err)
		}
	}
	return c, nil
}

// providers lists the groups in upstream's order (StorageProviders in pkg/controlplane/instance.go), which decides which
// group an unqualified resource name prefers. Groups that are off by default are left out.
func providers(config Config, core *coreProvider, client kubernetes.Interface) []Provider {
	return []Provider{
		core,
		authenticationrest.RESTStorageProvider{Authenticator: config.Authenticator, APIAudiences: config.Audiences},
		authorizationrest.RESTStorageProvider{Authorizer: config.Authorizer, RuleResolver: config.RuleResolver},
		autoscalingrest.RESTStorageProvider{},
		batchrest.RESTStorageProvider{},
		certificatesrest.RESTStorageProvider{Authorizer: config.Authorizer},
		coordinationrest.RESTStorageProvider{},
		discoveryrest.StorageProvider{},
		networkingrest.RESTStorageProvider{},
		noderest.RESTStorageProvider{},
		policyrest.RESTStorageProvider{},
		rbacrest.RESTStorageProvider{Authorizer: config.Authorizer},
		schedulingrest.RESTStorageProvider{},
		storagerest.RESTStorageProvider{},
		storagemigrationrest.RESTStorageProvider{},
		flowcontrolrest.RESTStorageProvider{InformerFactory: config.Informers},
		appsrest.StorageProvider{},
		admissionregistrationrest.RESTStorageProvider{Authorizer: config.Authorizer, DiscoveryClient: client.Discovery()},
		eventsrest.RESTStorageProvider{TTL: config.EventTTL},
		resourcerest.RESTStorageProvider{NamespaceClient: client.CoreV1().Namespaces(), Authorizer: config.Authorizer},
	}
}

func (c *Catalog) install(p Provider, versions serverstorage.APIResourceConfigSource, options generic.RESTOptionsGetter) error {
	info, err := p.NewRESTStorage(versions, options)
	if err != nil {
		return err
	}
	group := Group{Name: p.GroupName()}
	for _, version := range info.PrioritizedVersions {
		storage := info.VersionedResourcesStorageMap[version.Version]
		if len(storage) == 0 {
			continue
		}
		group.Versions = append(group.Versions, GroupVersion{
			GroupVersion:   version,
			Storage:        storage,
			Scheme:         info.Scheme,
			Codecs:         info.NegotiatedSerializer,
			ParameterCodec: info.ParameterCodec,
		})
		for _, s := range storage {
			c.destroy = append(c.destroy, s.Destroy)
		}
	}
	if len(group.Versions) == 0 {
		return nil
	}
	c.Groups = append(c.Groups, group)
	if hooked, ok := p.(genericapiserver.PostStartHookProvider); ok {
		name, run, err := hooked.PostStartHook()
		if err != nil {
			return fmt.Errorf("make its start hook: %w", err)
		}
		c.Hooks = append(c.Hooks, Hook{Name: name, Run: run})
	}
	return nil
}

// Close releases what the storages hold. It is called once, when no request is under way any more.
func (c *Catalog) Close() {
	for _, destroy := range c.destroy {
		destroy()
	}
}
