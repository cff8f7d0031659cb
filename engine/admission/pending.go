package admission

import (
	"context"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/admission"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/plugin/pkg/admission/limitranger"
)

// pending is a member that is built when it first has work, and passed over while it has none. It is safe for concurrent use.
type pending struct {
	// needed says whether there is work for a write in a namespace, or in none if that is empty.
	needed func(namespace string) bool
	build  func() (admission.Interface, error)

	mu    sync.Mutex // guards building
	built atomic.Pointer[admission.Interface]
}

var (
	_ admission.MutationInterface   = (*pending)(nil)
	_ admission.ValidationInterface = (*pending)(nil)
)

// Handles implements admission.Interface. What the member itself handles is known once it has been built.
func (p *pending) Handles(admission.Operation) bool { return true }

// Admit implements admission.MutationInterface.
func (p *pending) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	member, err := p.member(a)
	if err != nil {
		return err
	}
	if mutating, ok := member.(admission.MutationInterface); ok {
		return mutating.Admit(ctx, a, o)
	}
	return nil
}

// Validate implements admission.ValidationInterface.
func (p *pending) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	member, err := p.member(a)
	if err != nil {
		return err
	}
	if validating, ok := member.(admission.ValidationInterface); ok {
		return validating.Validate(ctx, a, o)
	}
	return nil
}

// member is who is to be asked about a write, nil for nobody. A member that is needed and cannot be built refuses.
func (p *pending) member(a admission.Attributes) (admission.Interface, error) {
	if !p.needed(a.GetNamespace()) {
		return nil, nil
	}
	member, err := p.get()
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if !member.Handles(a.GetOperation()) {
		return nil, nil
	}
	return member, nil
}

// get builds the member the first time, and again for as long as that fails.
func (p *pending) get() (admission.Interface, error) {
	if built := p.built.Load(); built != nil {
		return *built, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if built := p.built.Load(); built != nil {
		return *built, nil
	}
	member, err := p.build()
	if err != nil {
		return nil, err
	}
	p.built.Store(&member)
	return member, nil
}

// prepare builds the member if there is work that is in no namespace.
func (p *pending) prepare() {
	if p.needed("") {
		_, _ = p.get() // whoever writes next tries again, and is told
	}
}

// needs is how to find out whether a member of upstream's has work, nil for members that always may. Upstream's own members ask
// their listers for the same, and the server itself again when those have nothing; here what they show is the present.
func (b *builder) needs(name string) func(namespace string) bool {
	registrations, core := b.config.Informers.Admissionregistration().V1(), b.config.Informers.Core().V1()
	switch name {
	case mutating.PluginName:
		return whenThereIs(registrations.MutatingWebhookConfigurations().Informer())
	case validating.PluginName:
		return whenThereIs(registrations.ValidatingWebhookConfigurations().Informer())
	case mutatingpolicy.PluginName:
		return whenThereIs(registrations.MutatingAdmissionPolicyBindings().Informer())
	case validatingpolicy.PluginName:
		return whenThereIs(registrations.ValidatingAdmissionPolicyBindings().Informer())
	case limitranger.PluginName:
		return whenThereIsInNamespace(core.LimitRanges().Informer())
	case resourcequota.PluginName:
		return whenThereIsInNamespace(core.ResourceQuotas().Informer())
	}
	return nil
}

// whenThereIs says whether there are objects of a kind that is in no namespace. If that is not known, there may be.
func whenThereIs(informer cache.SharedIndexInformer) func(string) bool {
	return func(string) bool { return anyIn(informer, "") }
}

// whenThereIsInNamespace says whether there are objects of a kind in a namespace.
func whenThereIsInNamespace(informer cache.SharedIndexInformer) func(string) bool {
	return func(namespace string) bool { return namespace != "" && anyIn(informer, namespace) }
}

func anyIn(informer cache.SharedIndexInformer, namespace string) bool {
	found, err := informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	return err != nil || len(found) > 0
}
