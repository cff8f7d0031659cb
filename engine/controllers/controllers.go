// Package controllers runs the loops that an API server is not whole without: those that bring its own objects into being
// and keep them (system namespaces, the kubernetes Service, the default ServiceCIDR, priority classes, flow schemas,
// bootstrap roles, whom to trust), those without which deletions would never end, and those that answer requests for
// certificates. What they do is upstream's, and so are most of them; they reach the server through its loopback.
package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	restclient "k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/controlplane/controller/clusterauthenticationtrust"
	"k8s.io/kubernetes/pkg/controlplane/controller/defaultservicecidr"
	"k8s.io/kubernetes/pkg/controlplane/controller/kubernetesservice"
	"k8s.io/kubernetes/pkg/controlplane/controller/legacytokentracking"
	"k8s.io/kubernetes/pkg/controlplane/controller/systemnamespaces"
	"k8s.io/kubernetes/pkg/controlplane/reconcilers"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	"k8s.io/kubernetes/pkg/serviceaccount"

	"gatehouse/engine/catalog"
	"gatehouse/engine/controllers/garbage"
	"gatehouse/engine/objects/cache"
	cachedinformers "gatehouse/engine/objects/informers"
)

const (
	// endpointInterval is how often the endpoints of the kubernetes Service are checked (upstream's default).
	endpointInterval = 10 * time.Second
)

// Config is what the loops need.
type Config struct {
	Loopback  *restclient.Config
	Informers informers.SharedInformerFactory
	Logger    *slog.Logger

	ServiceCIDR          net.IPNet
	SecondaryServiceCIDR net.IPNet
	// ServiceIP and ServicePort are those of the kubernetes Service.
	ServiceIP   net.IP
	ServicePort int
	// AdvertiseIP and AdvertisePort are where that Service leads. A loopback address, which no pod could use, leads nowhere: the
	// Service then has no endpoints.
	AdvertiseIP   net.IP
	AdvertisePort int

	// Kinds lists what is stored. Cache holds it.
	Kinds func() []garbage.Kind
	Cache *cache.Cache
	// Informed finds how objects of a kind are decoded.
	Informed cachedinformers.Resolver

	// Namespaced lists what can be in a namespace, each resource once, in its preferred version.
	Namespaced func() ([]*metav1.APIResourceList, error)
	// AwaitWrites returns when all writes that have begun in a namespace have ended.
	AwaitWrites func(ctx context.Context, namespace string) error

	// Certificates says how requests for certificates are granted.
	Certificates Certificates
	// Trust is what other servers are told of how clients of this one authenticate. Its authorities may change.
	Trust clusterauthenticationtrust.ClusterAuthenticationInfo

	// Runs tells which of the loops run here that a kube-controller-manager could run as well, by its names for them.
	Runs func(name string) bool
	// StartInformers starts the informers that have been asked for since the server was started.
	StartInformers func()
	// RootCA is the authority, in PEM, of the server's certificate.
	RootCA []byte
	// LegacyTokens signs tokens that stand in Secrets.
	LegacyTokens serviceaccount.TokenGenerator
	// BootstrapTokens says that nodes can come in with bootstrap tokens.
	BootstrapTokens bool

	// Self are the objects by which the server shows itself.
	Self Self

	Hooks    []catalog.Hook
	IPRepair func(onFirstSuccess func(), stop chan struct{})
}

// Loops are the controllers, built by New, running from Start to Stop.
type Loops struct {
	ctx     context.Context
	cancel  context.CancelFunc
	work    []func() // what Start sets going, each on a goroutine of its own
	running sync.WaitGroup
	service *kubernetesservice.Controller
	// namespaces is read by CheckNamespaces until found is set.
	namespaces corelisters.NamespaceLister
	found      atomic.Bool
	roles      *awaited                // the bootstrap roles and bindings
	begun      chan struct{}           // closed when they have been ensured, or could not be
	later      []func(context.Context) // what of this server's own work can wait for that
	logger     *slog.Logger
}

// New builds the loops and registers their interest in the informers. They live no longer than ctx.
func New(ctx context.Context, config Config) (*Loops, error) {
	client, err := kubernetes.NewForConfig(config.Loopback)
	if err != nil {
		return nil, fmt.Errorf("build the controllers' client: %w", err)
	}
	tools, err := newTools(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &Loops{ctx: ctx, cancel: cancel, logger: config.Logger, service: newServiceController(config, client), begun: make(chan struct{})}

	cidr := defaultservicecidr.NewController(config.ServiceCIDR, config.SecondaryServiceCIDR, client)
	l.loop(func() { cidr.Start(ctx) })
	namespaces := config.Informers.Core().V1().Namespaces()
	l.namespaces = namespaces.Lister()
	keeper := systemnamespaces.NewController(systemNamespaces(), client, namespaces)
	l.loop(func() { keeper.Run(ctx.Done()) })
	l.loop(func() { l.service.Start(ctx.Done()) })
	l.loop(func() { runUntil(ctx, config.IPRepair) })
	l.addTrust(config, client)
	l.addSelf(config.Self, client)
	tracking := legacytokentracking.NewController(client)
	l.later = append(l.later, tracking.RunWithContext)
	roles := newRolePolicy(client, config.Informers, config.Logger).objects()
	l.roles = await(roles)
	ours := bootstrap(client, roles)
	for _, hook := range config.Hooks {
		l.once(hook.Name, func() error {
			if hook.Name == rbacrest.PostStartHookName {
				defer close(l.begun)
			}
			if ensure, ok := ours[hook.Name]; ok {
				return ensure(ctx)
			}
			return hook.Run(genericapiserver.PostStartHookContext{LoopbackClientConfig: config.Loopback, Context: ctx})
		})
	}
	l.loop(func() {
		select {
		case <-l.begun:
			l.runManaged(tools)
		case <-ctx.Done():
		}
	})
	return l, nil
}

// Start sets the loops going, once the loopback serves: at once those that requests depend on, and those that a controller
// manager could run as well when the first have brought into being what there has to be.
func (l *Loops) Start() {
	for _, work := range l.work {
		l.running.Go(work)
	}
	l.work = nil // the hooks hold tables that are not needed again
}

// systemNamespaces exist in every cluster.
func systemNamespaces() []string {
	return []string{metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease, metav1.NamespaceDefault}
}

// CheckNamespaces tells whether the system namespaces exist yet. It is a health check.
func (l *Loops) CheckNamespaces(*http.Request) error {
	if l.found.Load() {
		return nil
	}
	for _, name := range systemNamespaces() {
		if _, err := l.namespaces.Get(name); err != nil {
			return err
		}
	}
	l.found.Store(true)
	return nil
}

// Stop takes the server out of the kubernetes Service, ends the loops and waits for them, for as long as ctx lasts.
func (l *Loops) Stop(ctx context.Context) error {
	defer l.cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.service.Stop()
		l.cancel()
		l.running.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop controllers: %w", ctx.Err())
	}
}

func (l *Loops) loop(run func()) { l.work = append(l.work, run) }

// once runs what has to be done once after start, and logs when it fails.
func (l *Loops) once(name string, run func() error) {
	l.loop(func() {
		if err := run(); err != nil && l.ctx.Err() == nil {
			l.logger.Error("start-up work failed", "hook", name, "error", err)
		}
	})
}

// runUntil runs a loop of the kind that ends with a channel.
func runUntil(ctx context.Context, run func(onFirstSuccess func(), stop chan struct{})) {
	stop := make(chan struct{})
	release := context.AfterFunc(ctx, func() { close(stop) })
	defer release()
	run(func() {}, stop)
}

func newServiceController(config Config, client kubernetes.Interface) *kubernetesservice.Controller {
	endpoints := reconcilers.NewNoneEndpointReconciler()
	if !config.AdvertiseIP.IsLoopback() {
		adapter := reconcilers.NewEndpointsAdapter(client.CoreV1(), client.DiscoveryV1())
		endpoints = reconcilers.NewMasterCountEndpointReconciler(1, adapter)
	}
	return kubernetesservice.New(kubernetesservice.Config{
		PublicIP:           config.AdvertiseIP,
		EndpointReconciler: &soleReconciler{EndpointReconciler: endpoints},
		EndpointInterval:   endpointInterval,
		ServiceIP:          config.ServiceIP,
		ServicePort:        config.ServicePort,
		PublicServicePort:  config.AdvertisePort,
	}, client, config.Informers.Core().V1().Services())
}

// soleReconciler manages the endpoints of the only server there is. What it finds at start is always its own, of the run
// before; the controller would report it as the traces of a crash, whatever it was.
type soleReconciler struct {
	reconcilers.EndpointReconciler
	stopping atomic.Bool // set before the removal at the end
}

// StopReconciling implements reconcilers.EndpointReconciler.
func (r *soleReconciler) StopReconciling() {
	r.stopping.Store(true)
	r.EndpointReconciler.StopReconciling()
}

// RemoveEndpoints implements reconcilers.EndpointReconciler.
func (r *soleReconciler) RemoveEndpoints(service string, ip net.IP, ports []corev1.EndpointPort) error {
	err := r.EndpointReconciler.RemoveEndpoints(service, ip, ports)
	switch {
	case r.stopping.Load() && storage.IsNotFound(err):
		return nil // it stops before it has published any
	case err == nil && !r.stopping.Load():
		return storage.NewKeyNotFoundError(service, 0)
	}
	return err
}
