package catalog

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/client-go/kubernetes"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/componentstatus"
	endpointsstore "k8s.io/kubernetes/pkg/registry/core/endpoint/storage"
	limitrangestore "k8s.io/kubernetes/pkg/registry/core/limitrange/storage"
	nodestore "k8s.io/kubernetes/pkg/registry/core/node/storage"
	pvstore "k8s.io/kubernetes/pkg/registry/core/persistentvolume/storage"
	pvcstore "k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim/storage"
	podstore "k8s.io/kubernetes/pkg/registry/core/pod/storage"
	podtemplatestore "k8s.io/kubernetes/pkg/registry/core/podtemplate/storage"
	controllerstore "k8s.io/kubernetes/pkg/registry/core/replicationcontroller/storage"
	corerest "k8s.io/kubernetes/pkg/registry/core/rest"
	ipallocatorcontroller "k8s.io/kubernetes/pkg/registry/core/service/ipallocator/controller"
	"k8s.io/kubernetes/pkg/registry/core/service/portallocator"
	servicestore "k8s.io/kubernetes/pkg/registry/core/service/storage"
	serviceaccountstore "k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// maxExtendedExpiration bounds the tokens that outlive what was asked for, so that clients which do not reload them go on
// working (kube-apiserver's --service-account-extend-token-expiration, on by default).
const maxExtendedExpiration = serviceaccount.ExpirationExtensionSeconds * time.Second

// noMaxExpiration lets clients ask for tokens that live as long as they like, as kube-apiserver does by default.
const noMaxExpiration = 0

// ipRepairInterval is how often cluster IPs are held against the Services that own them (upstream's repairLoopInterval).
const ipRepairInterval = 3 * time.Minute

// coreProvider assembles the legacy core group. Upstream's corerest.New does the same, but its allocators open etcd behind
// the RESTOptionsGetter; see "Why is the core group assembled by hand?" in engine/RATIONALE.md.
type coreProvider struct {
	config     Config
	generic    corerest.GenericConfig
	client     kubernetes.Interface
	clusterIPs *clusterIPs
	nodePorts  *portallocator.PortAllocator
	ipRepair   func(onFirstSuccess func(), stop chan struct{})
}

func newCoreProvider(config Config, client kubernetes.Interface, options restOptions) (*coreProvider, error) {
	p := &coreProvider{
		config: config,
		client: client,
		generic: corerest.GenericConfig{
			StorageFactory:       options.factory,
			EventTTL:             config.EventTTL,
			LoopbackClientConfig: config.Loopback,
			ServiceAccountIssuer: config.ServiceAccountIssuer,
			APIAudiences:         config.Audiences,
			Informers:            config.Informers,
		},
	}
	var err error
	p.clusterIPs, err = newClusterIPs(client, config.Informers, config.ServiceCIDR, config.SecondaryServiceCIDR)
	if err != nil {
		return nil, fmt.Errorf("allocate cluster IPs: %w", err)
	}
	if p.nodePorts, err = newNodePortAllocator(config.NodePorts, client); err != nil {
		p.clusterIPs.destroy()
		return nil, fmt.Errorf("allocate node ports %s: %w", config.NodePorts.String(), err)
	}
	p.ipRepair = ipallocatorcontroller.NewRepairIPAddress(ipRepairInterval, client,
		config.Informers.Core().V1().Services(),
		config.Informers.Networking().V1().ServiceCIDRs(),
		config.Informers.Networking().V1().IPAddresses(),
	).RunUntil
	return p, nil
}

// GroupName implements Provider.
func (p *coreProvider) GroupName() string { return api.GroupName }

func (p *coreProvider) destroy() {
	p.clusterIPs.destroy()
	p.nodePorts.Destroy()
}

// NewRESTStorage implements Provider.
func (p *coreProvider) NewRESTStorage(versions serverstorage.APIResourceConfigSource, options generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	info, err := p.generic.NewRESTStorage(versions, options)
	if err != nil {
		return info, err
	}
	storage := info.VersionedResourcesStorageMap[corev1.SchemeGroupVersion.Version]
	for _, add := range []func(map[string]rest.Storage, generic.RESTOptionsGetter) error{
		p.addWorkloads, p.addVolumes, p.addPlain,
	} {
		if err := add(storage, options); err != nil {
			return info, err
		}
	}
	storage["componentstatuses"] = componentstatus.NewStorage(components)
	return info, nil
}

// addWorkloads adds nodes, pods, and what refers to pods: services, which proxy to them, and service accounts, whose tokens
// can be bound to them.
func (p *coreProvider) addWorkloads(storage map[string]rest.Storage, options generic.RESTOptionsGetter) error {
	endpoints := p.config.Transports.Endpoints
	nodes, err := nodestore.NewStorage(options, kubeletClient(p.config.KubeletAddresses), endpoints)
	if err != nil {
		return err
	}
	kubelets := kubelets{nodes.KubeletConnectionInfo, p.config.Transports}
	nodes.Proxy.Connection = kubelets
	storage["nodes"] = nodes.Node
	storage["nodes/status"] = nodes.Status
	storage["nodes/proxy"] = nodes.Proxy

	pods, err := podstore.NewStorage(options, kubelets, endpoints, p.client.PolicyV1(), unconditional(p.config.Authorizer))
	if err != nil {
		return err
	}
	storage["pods"] = pods.Pod
	storage["pods/attach"] = &selfConnect{pods.Attach, p.config.Self}
	storage["pods/binding"] = pods.Binding
	storage["pods/ephemeralcontainers"] = pods.EphemeralContainers
	storage["pods/eviction"] = pods.Eviction
	storage["pods/exec"] = &selfConnect{pods.Exec, p.config.Self}
	storage["pods/log"] = &selfLog{pods.Log, p.config.Self}
	storage["pods/portforward"] = &selfConnect{pods.PortForward, p.config.Self}
	storage["pods/proxy"] = pods.Proxy
	storage["pods/resize"] = pods.Resize
	storage["pods/status"] = pods.Status
	storage["bindings"] = pods.LegacyBinding

	services, serviceStatus, serviceProxy, err := servicestore.NewREST(options, p.clusterIPs.primary, p.clusterIPs.byFamily, p.nodePorts,
		endpointSlices{client: p.client}, pods.Pod, endpoints)
	if err != nil {
		return err
	}
	storage["services"] = services
	storage["services/proxy"] = serviceProxy
	storage["services/status"] = serviceStatus

	return p.addServiceAccounts(storage, options, pods.Pod.Store, nodes.Node.Store)
}

// addServiceAccounts replaces the generic storage, whose tokens cannot be bound to pods and nodes.
func (p *coreProvider) addServiceAccounts(storage map[string]rest.Storage, options generic.RESTOptionsGetter, pods, nodes rest.Getter) error {
	secrets, ok := storage["secrets"].(rest.Getter)
	if !ok {
		return fmt.Errorf("the storage of secrets is a %T, which cannot get", storage["secrets"])
	}
	webhooks := p.client.AdmissionregistrationV1()
	accounts, err := serviceaccountstore.NewREST(options, p.config.ServiceAccountIssuer, p.config.Audiences, p.config.Authorizer,
		noMaxExpiration, pods, secrets, nodes,
		webhooks.ValidatingWebhookConfigurations(), webhooks.MutatingWebhookConfigurations(), true, maxExtendedExpiration)
	if err != nil {
		return err
	}
	for _, name := range []string{"serviceaccounts", "serviceaccounts/token"} {
		if old := storage[name]; old != nil {
			old.Destroy()
		}
	}
	storage["serviceaccounts"] = accounts
	storage["serviceaccounts/token"] = accounts.Token
	return nil
}

func (p *coreProvider) addVolumes(storage map[string]rest.Storage, options generic.RESTOptionsGetter) error {
	volumes, volumeStatus, err := pvstore.NewREST(options)
	if err != nil {
		return err
	}
	storage["persistentvolumes"] = volumes
	storage["persistentvolumes/status"] = volumeStatus

	claims, claimStatus, err := pvcstore.NewREST(options)
	if err != nil {
		return err
	}
	storage["persistentvolumeclaims"] = claims
	storage["persistentvolumeclaims/status"] = claimStatus
	return nil
}

func (p *coreProvider) addPlain(storage map[string]rest.Storage, options generic.RESTOptionsGetter) error {
	templates, err := podtemplatestore.NewREST(options)
	if err != nil {
		return err
	}
	storage["podtemplates"] = templates

	limits, err := limitrangestore.NewREST(options)
	if err != nil {
		return err
	}
	storage["limitranges"] = limits

	endpoints, err := endpointsstore.NewREST(options)
	if err != nil {
		return err
	}
	storage["endpoints"] = endpoints

	controllers, err := controllerstore.NewStorage(options)
	if err != nil {
		return err
	}
	storage["replicationcontrollers"] = controllers.Controller
	storage["replicationcontrollers/status"] = controllers.Status
	storage["replicationcontrollers/scale"] = controllers.Scale
	return nil
}

func unconditional(a authorizer.Authorizer) authorizer.UnconditionalAuthorizer { return a }
