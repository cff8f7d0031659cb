package plugins

import (
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	"k8s.io/kubernetes/pkg/kubeapiserver/admission/exclusion"
)

// request is one phase of one write, as far as matching goes. One goroutine uses it.
type request struct {
	admission.Attributes
	phase   phase
	objects admission.ObjectInterfaces
	// equivalents are the resources that address the same objects; looked up when first needed.
	equivalents []schema.GroupVersionResource
	looked      bool
}

// target is as what a plugin sees the request: the versions that its rules ask for.
type target struct {
	kind     schema.GroupVersionKind
	resource schema.GroupVersionResource
}

// exempt reports whether no plugin is ever asked: reviews of who one is and what one may are how anyone, the plugins' operator
// included, gets in at all.
func (r *request) exempt(excluded []schema.GroupResource) bool {
	return slices.Contains(excluded, r.GetResource().GroupResource())
}

func exemptResources() []schema.GroupResource { return exclusion.Excluded() }

// match says whether m concerns the request, and as what; the logic is that of upstream's webhooks.
func (r *request) match(m *manifest) (target, bool, error) {
	if !slices.Contains(m.Admission.Phases, r.phase) {
		return target{}, false, nil
	}
	if matchesAny(m.Admission.Rules, r.Attributes) {
		return target{kind: r.GetKind(), resource: r.GetResource()}, true, nil
	}
	if m.Admission.MatchPolicy != admissionregistrationv1.Equivalent {
		return target{}, false, nil
	}
	return r.matchEquivalent(m.Admission.Rules)
}

func (r *request) matchEquivalent(all []admissionregistrationv1.RuleWithOperations) (target, bool, error) {
	mapper := r.objects.GetEquivalentResourceMapper()
	if mapper == nil {
		return target{}, false, nil
	}
	for _, other := range r.equivalentResources() {
		if other == r.GetResource() || !matchesAny(all, as{r.Attributes, other}) {
			continue
		}
		kind := mapper.KindFor(other, r.GetSubresource())
		if kind.Empty() {
			return target{}, false, apierrors.NewInternalError(fmt.Errorf("unable to convert to %v: unknown kind", other))
		}
		return target{kind: kind, resource: other}, true, nil
	}
	return target{}, false, nil
}

// equivalentResources are those that address the same objects, the request's own among them.
func (r *request) equivalentResources() []schema.GroupVersionResource {
	if r.looked {
		return r.equivalents
	}
	r.looked = true
	if mapper := r.objects.GetEquivalentResourceMapper(); mapper != nil {
		r.equivalents = mapper.EquivalentResourcesFor(r.GetResource(), r.GetSubresource())
	}
	return r.equivalents
}

func matchesAny(all []admissionregistrationv1.RuleWithOperations, attributes admission.Attributes) bool {
	for i := range all {
		matcher := rules.Matcher{Rule: all[i], Attr: attributes}
		if matcher.Matches() {
			return true
		}
	}
	return false
}

// as is a request seen through another resource.
type as struct {
	admission.Attributes
	resource schema.GroupVersionResource
}

func (a as) GetResource() schema.GroupVersionResource { return a.resource }
