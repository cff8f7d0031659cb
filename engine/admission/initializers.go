package admission

import (
	"fmt"
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	webhookinit "k8s.io/apiserver/pkg/admission/plugin/webhook/initializer"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/component-base/tracing"
	controlplane "k8s.io/kubernetes/pkg/controlplane/apiserver/admission"
	kubeapiserver "k8s.io/kubernetes/pkg/kubeapiserver/admission"
	"k8s.io/kubernetes/pkg/kubeapiserver/admission/exclusion"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
)

// newInitializers give members what they want: all that kube-apiserver gives them, but for what initializersFor adds.
func newInitializers(config Config) (admission.PluginInitializers, error) {
	dynamicClient, err := dynamic.NewForConfig(config.Loopback)
	if err != nil {
		return nil, fmt.Errorf("build the dynamic client of admission: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(config.Client.Discovery()))
	go wait.Until(mapper.Reset, mapperReset, config.Done)
	webhooks := webhook.NewDefaultAuthenticationInfoResolverWrapper(&http.Transport{}, nil, toOurselves(config.Loopback), tracing.NewNoopTracerProvider())
	return admission.PluginInitializers{
		initializer.NewAPIServerIDInitializer(config.ServerID),
		initializer.New(config.Client, dynamicClient, config.Informers, config.Authorizer, utilfeature.DefaultFeatureGate,
			compatibility.DefaultBuildEffectiveVersion(), config.Done, mapper),
		webhookinit.NewPluginInitializer(webhooks, config.Services),
		kubeapiserver.NewPluginInitializer(),
	}, nil
}

// initializersFor are the initializers of one member. Only ResourceQuota is told how objects count.
func (b *builder) initializersFor(name string) (admission.PluginInitializers, error) {
	var quotas quota.Configuration
	if name == resourcequota.PluginName {
		var err error
		if quotas, err = quotainstall.NewQuotaConfigurationForAdmission(b.config.Informers, nil); err != nil {
			return nil, err
		}
	}
	return append(slices.Clip(b.initializers), controlplane.NewPluginInitializer(quotas, exclusion.Excluded())), nil
}

// toOurselves is how webhooks are called that the server serves itself, as aggregated APIs do. Upstream adds the webhook's
// authorities to it, which a configuration with a transport of its own must not have.
func toOurselves(loopback *rest.Config) *rest.Config {
	config := rest.CopyConfig(loopback)
	transport := config.Transport
	config.Transport = nil
	config.Wrap(func(http.RoundTripper) http.RoundTripper { return transport })
	return config
}
