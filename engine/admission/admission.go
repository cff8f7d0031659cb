// Package admission is the third gate: is this write acceptable? It is kube-apiserver's chain of admission plugins, here called
// members, with WebAssembly plugins among them: all members mutate in their order, once more if that is called for, then all
// validate.
//
// Members are upstream's code, set up as kube-apiserver does. What differs is that those which only have work once somebody made
// objects of a kind (policies, webhooks, quotas, limits) are not there before: see pending.
package admission

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/metrics"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/kubeapiserver/options"
)

// mapperReset is how often what discovery told about kinds is forgotten, as upstream does: there may be new ones.
const mapperReset = 30 * time.Second

// Config is what the chain is made of.
type Config struct {
	// Members are the names of all members, in their order: upstream's, and those of Plugins.
	Members []string
	// Plugins are the members that ask WebAssembly plugins.
	Plugins map[string]admission.Interface
	// ConfigFile is the AdmissionConfiguration that upstream's members are configured by. It is read once. Optional.
	ConfigFile string

	// Client and Loopback reach the server itself, which need not serve yet.
	Client   kubernetes.Interface
	Loopback *rest.Config
	// Informers are what members read. They show what has been acknowledged, without delay.
	Informers informers.SharedInformerFactory
	// StartInformers starts those that were asked for since they were last started.
	StartInformers func()
	// Authorizer tells members what else the writer may do, such as approve requests to a signer of certificates.
	Authorizer authorizer.Authorizer
	// Services finds the Services that webhooks are behind.
	Services webhook.ServiceResolver
	// ServerID tells this server from others in upstream's metrics.
	ServerID string
	// Done closes when the server has ended; what members do beside requests ends then.
	Done <-chan struct{}
	// Logger gets what an operator should know of the configuration.
	Logger *slog.Logger
}

// Chain is the third gate. It is safe for concurrent use.
type Chain struct {
	admission.MutationInterface
	admission.ValidationInterface
	pending []*pending
}

var (
	_ admission.MutationInterface   = (*Chain)(nil)
	_ admission.ValidationInterface = (*Chain)(nil)
)

// New builds the chain. Whatever the members do to managedFields, the outcome is checked and, where it is invalid, undone,
// as upstream does.
func New(config Config) (*Chain, error) {
	b, err := newBuilder(config)
	if err != nil {
		return nil, err
	}
	members := admission.NewPlugins()
	for _, name := range config.Members {
		member, err := b.member(name)
		if err != nil {
			return nil, err
		}
		members.Register(name, func(io.Reader) (admission.Interface, error) { return member, nil })
	}
	inOrder, err := members.NewFromPlugins(config.Members, configured{}, admission.PluginInitializers{}, nil)
	if err != nil {
		return nil, err
	}
	whole := fieldmanager.NewManagedFieldsValidatingAdmissionController(metrics.WithStepMetrics(inOrder))
	mutating, _ := whole.(admission.MutationInterface)
	validating, _ := whole.(admission.ValidationInterface)
	if mutating == nil || validating == nil {
		return nil, fmt.Errorf("the chain of admission, a %T, does not both mutate and validate", whole)
	}
	return &Chain{mutating, validating, b.pending}, nil
}

// Handles implements admission.Interface.
func (c *Chain) Handles(operation admission.Operation) bool {
	return c.MutationInterface.Handles(operation)
}

// Prepare builds what has work already, so that the first write need not wait for it. It is called once the informers run.
func (c *Chain) Prepare() {
	for _, p := range c.pending {
		p.prepare()
	}
}

// builder makes members.
type builder struct {
	config       Config
	upstream     *admission.Plugins
	configured   configured
	initializers admission.PluginInitializers
	pending      []*pending
}

// newRegistry knows all of upstream's members.
func newRegistry() *admission.Plugins {
	registry := admission.NewPlugins()
	genericapiserver.RegisterAllAdmissionPlugins(registry)
	options.RegisterAllAdmissionPlugins(registry)
	return registry
}

func newBuilder(config Config) (*builder, error) {
	b := &builder{config: config, upstream: newRegistry()}
	var err error
	if b.configured, err = readConfiguration(config.ConfigFile); err != nil {
		return nil, err
	}
	if err := b.checkConfigured(); err != nil {
		return nil, err
	}
	if b.initializers, err = newInitializers(config); err != nil {
		return nil, err
	}
	return b, nil
}

// member makes one member, with the metrics that upstream keeps of each.
func (b *builder) member(name string) (admission.Interface, error) {
	if plugin := b.config.Plugins[name]; plugin != nil {
		return plugin, nil
	}
	// What is configured is built at once, so that a mistake is found now.
	if needed := b.needs(name); needed != nil && !b.configured.has(name) {
		p := &pending{needed: needed, build: func() (admission.Interface, error) {
			defer b.config.StartInformers()
			return b.build(name)
		}}
		b.pending = append(b.pending, p)
		return p, nil
	}
	return b.build(name)
}

// build makes one of upstream's members.
func (b *builder) build(name string) (admission.Interface, error) {
	config, err := b.configured.ConfigFor(name)
	if err != nil {
		return nil, err
	}
	initializers, err := b.initializersFor(name)
	if err != nil {
		return nil, fmt.Errorf("set up admission member %s: %w", name, err)
	}
	member, err := b.upstream.InitPlugin(name, config, initializers)
	switch {
	case err != nil && b.config.ConfigFile != "":
		return nil, fmt.Errorf("set up admission member %s as %s says: %w", name, b.config.ConfigFile, err)
	case err != nil:
		return nil, fmt.Errorf("set up admission member %s (admission.configFile is where it can be configured): %w", name, err)
	}
	return metrics.WithControllerMetrics(member, name), nil
}
