package authz

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	configuration "k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/client-go/informers"
	upstream "k8s.io/kubernetes/pkg/kubeapiserver/authorizer"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"

	"gatehouse/engine/authz/rbac"
	"gatehouse/engine/files"
)

// Options say what a chain is made of.
type Options struct {
	// Members in the order in which they are asked: the types of an AuthorizationConfiguration, in any case of letters, each once.
	// They are not used if there is a ConfigurationFile.
	Members []string
	// ConfigurationFile is an AuthorizationConfiguration; optional. It is followed while the server runs. Types but
	// Webhook that are in it must be so from the start.
	ConfigurationFile string
	// PolicyFile is what ABAC decides by, as package abac reads it. It is followed while the server runs.
	PolicyFile string
	// Webhook is about the one member of type Webhook that Members can have.
	Webhook Webhook

	// OpenPaths can be got by anybody.
	OpenPaths []string
	// Informers are what RBAC and Node read; somebody else starts them.
	Informers informers.SharedInformerFactory
	// StartInformers starts those that were asked for after that. It is called when the first node makes a request.
	StartInformers func()
	// Plugins makes the members that ask plugins: Members lists these by the names of the map, "plugins" first of all if it does not
	// list that. A ConfigurationFile cannot list them, so all others come after "plugins".
	Plugins map[string]PluginMember
	// Files follows the files; its end is the end of that.
	Files *files.Set
	// Logger gets what an operator should know of the configuration. Discarded by default.
	Logger *slog.Logger
}

// Webhook is a service that is asked with SubjectAccessReviews.
type Webhook struct {
	// ConfigFile is a kubeconfig with the service's address and the server's credentials. It is followed while the server runs.
	ConfigFile string
	// Version is that of SubjectAccessReview, v1 or v1beta1.
	Version string
	// AuthorizedTTL and UnauthorizedTTL are how long answers are kept, 0 for not at all.
	AuthorizedTTL, UnauthorizedTTL time.Duration
	// Timeout bounds each call.
	Timeout time.Duration
	// FailurePolicy is Deny or NoOpinion.
	FailurePolicy string
}

// PluginMember asks plugins. It must be safe for concurrent use.
type PluginMember interface {
	authorizer.Authorizer
	authorizer.RuleResolver
}

// The type of members that ask plugins, which no AuthorizationConfiguration knows, and the name of the one that asks all that have no
// member of their own.
const (
	pluginsType = "Plugins"
	pluginsName = "plugins"
)

// webhookName is what kube-apiserver calls a webhook that its flags describe.
const webhookName = "default"

// builder makes chains, each time the configuration changes, of members that stay.
type builder struct {
	options Options
	tallies *tallies

	// lasting are the members that there is one of, by type.
	lasting map[configuration.AuthorizerType]lasting
	// webhooks are those made so far by what they are made from, so that a change elsewhere does not forget their answers.
	webhooks map[string]lasting
	compiler authorizationcel.Compiler
}

// lasting is a member that knows rules.
type lasting interface {
	authorizer.Authorizer
	authorizer.RuleResolver
}

// build returns how to get at the chain that is in force.
func (b *builder) build() (func() *members, error) {
	b.webhooks = map[string]lasting{}
	b.lasting = map[configuration.AuthorizerType]lasting{}
	if b.options.ConfigurationFile == "" {
		config := b.ordered()
		if err := b.make(config); err != nil {
			return nil, err
		}
		chain, err := b.chain(config)
		if err != nil {
			return nil, err
		}
		return func() *members { return chain }, nil
	}
	var types sets.Set[configuration.AuthorizerType] // nil until the first reading has decided
	file, err := files.Open(b.options.Files, b.options.ConfigurationFile, func(content []byte) (*members, error) {
		config, err := upstream.LoadAndValidateData(content, b.cel(), types)
		if err != nil {
			return nil, err
		}
		if types == nil {
			if err := b.make(config); err != nil {
				return nil, err
			}
			if _, asked := b.lasting[configuration.AuthorizerType(modes.ModeABAC)]; b.options.PolicyFile != "" && !asked {
				return nil, errors.New("no authorizer of type ABAC is listed, but authorization.policyFile is set; list it, or leave that out")
			}
			types = sets.KeySet(b.lasting)
		}
		config.Authorizers = append(b.unlisted(), config.Authorizers...)
		return b.chain(config)
	})
	if err != nil {
		return nil, err
	}
	return file.Get, nil
}

// ordered is the AuthorizationConfiguration that Members and Webhook stand for.
func (b *builder) ordered() *configuration.AuthorizationConfiguration {
	config := &configuration.AuthorizationConfiguration{}
	if !slices.Contains(b.options.Members, pluginsName) {
		config.Authorizers = b.unlisted()
	}
	for _, name := range b.options.Members {
		if b.options.Plugins[name] != nil {
			config.Authorizers = append(config.Authorizers, configuration.AuthorizerConfiguration{Type: pluginsType, Name: name})
			continue
		}
		kind := typeOf(name)
		one := configuration.AuthorizerConfiguration{
			Type: configuration.AuthorizerType(kind), Name: upstream.GetNameForAuthorizerMode(kind),
		}
		if kind == modes.ModeWebhook {
			hook := b.options.Webhook
			one.Name = webhookName
			one.Webhook = &configuration.WebhookConfiguration{
				AuthorizedTTL:              metav1.Duration{Duration: hook.AuthorizedTTL},
				CacheAuthorizedRequests:    hook.AuthorizedTTL > 0,
				UnauthorizedTTL:            metav1.Duration{Duration: hook.UnauthorizedTTL},
				CacheUnauthorizedRequests:  hook.UnauthorizedTTL > 0,
				Timeout:                    metav1.Duration{Duration: hook.Timeout},
				SubjectAccessReviewVersion: hook.Version,
				FailurePolicy:              hook.FailurePolicy,
				ConnectionInfo: configuration.WebhookConnectionInfo{
					Type: configuration.AuthorizationWebhookConnectionInfoTypeKubeConfigFile, KubeConfigFile: &hook.ConfigFile,
				},
			}
		}
		config.Authorizers = append(config.Authorizers, one)
	}
	return config
}

// unlisted is the member that asks plugins, where no list says when.
func (b *builder) unlisted() []configuration.AuthorizerConfiguration {
	if b.options.Plugins[pluginsName] == nil {
		return nil
	}
	return []configuration.AuthorizerConfiguration{{Type: pluginsType, Name: pluginsName}}
}

// typeOf is the type that a member's name is meant for, the name itself if there is none.
func typeOf(name string) string {
	for _, kind := range modes.AuthorizationModeChoices {
		if strings.EqualFold(kind, name) {
			return kind
		}
	}
	return name
}

// make makes the members that there can be one of: what they know must not begin anew when the configuration changes.
func (b *builder) make(config *configuration.AuthorizationConfiguration) error {
	for _, one := range config.Authorizers {
		switch string(one.Type) {
		case modes.ModeNode:
			b.lasting[one.Type] = newNodes(b.options.Informers, b.options.StartInformers)
		case modes.ModeRBAC:
			b.lasting[one.Type] = rbac.New(b.options.Informers.Rbac().V1())
		case modes.ModeABAC:
			policies, err := openPolicies(b.options.Files, b.options.PolicyFile)
			if err != nil {
				return err
			}
			b.lasting[one.Type] = policies
		case modes.ModeAlwaysAllow:
			b.options.Logger.Warn("whoever is let in may do everything: AlwaysAllow is among the authorizers, which is meant for tests")
			b.lasting[one.Type] = authorizerfactory.NewAlwaysAllowAuthorizer()
		case modes.ModeAlwaysDeny:
			b.lasting[one.Type] = authorizerfactory.NewAlwaysDenyAuthorizer()
		case modes.ModeWebhook, pluginsType:
		default:
			return fmt.Errorf("there is no authorizer of type %q, want one of %s", one.Type, strings.Join(modes.AuthorizationModeChoices, ", "))
		}
	}
	return nil
}

// chain puts the members together as a configuration says.
func (b *builder) chain(config *configuration.AuthorizationConfiguration) (*members, error) {
	list := first(b.options.OpenPaths, b.tallies)
	for _, one := range config.Authorizers {
		m := member{kind: string(one.Type), name: one.Name}
		switch kept, found := b.lasting[one.Type]; {
		case one.Type == pluginsType:
			m.authorizer, m.rules = b.options.Plugins[one.Name], b.options.Plugins[one.Name]
		case found:
			m.authorizer, m.rules = kept, kept
		case one.Webhook != nil:
			hook, err := b.webhook(one.Name, *one.Webhook)
			if err != nil {
				return nil, fmt.Errorf("set up the webhook %s: %w", one.Name, err)
			}
			m.authorizer, m.rules = hook, hook
		default:
			return nil, fmt.Errorf("the authorizer %s was not there when the server was started; start it again to have it", one.Type)
		}
		m.tally = b.tallies.of(m.kind, m.name)
		list = append(list, m)
	}
	return newMembers(slices.Clip(list)), nil
}

// cel is the compiler of conditions. It is costly to make, and few need it.
func (b *builder) cel() authorizationcel.Compiler {
	if b.compiler == nil {
		b.compiler = authorizationcel.NewDefaultCompiler()
	}
	return b.compiler
}

// errNoPolicies is the error of a configuration that lists ABAC and names no file.
var errNoPolicies = errors.New("the authorizer ABAC needs a file of policies; set authorization.policyFile")
