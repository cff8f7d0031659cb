package plugins

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/object"
)

// selectors are those of a plugin, parsed. They select everything where the plugin has none.
type selectors struct{ namespaces, objects labels.Selector }

// GetParsedNamespaceSelector implements namespace.NamespaceSelectorProvider.
func (s *selectors) GetParsedNamespaceSelector() (labels.Selector, error) { return s.namespaces, nil }

// GetParsedObjectSelector implements object.ObjectSelectorProvider.
func (s *selectors) GetParsedObjectSelector() (labels.Selector, error) { return s.objects, nil }

// parseSelector reads the selector that stands under key; nil selects everything.
func parseSelector(selector *metav1.LabelSelector, key string) (labels.Selector, error) {
	if selector == nil {
		return labels.Everything(), nil
	}
	errs := metav1validation.ValidateLabelSelector(selector, metav1validation.LabelSelectorValidationOptions{}, field.NewPath(key))
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return metav1.LabelSelectorAsSelector(selector)
}

// selects reports whether the labels of a write's namespace and object are those that the plugin asks for; the logic is that of
// upstream's webhooks. Errors are Statuses, about the namespace. Where nobody knows the labels of namespaces, a plugin that selects by them is
// broken, and selects all.
func (s *selectors) selects(a admission.Attributes, namespaces *namespace.Matcher) (bool, error) {
	matches, namespaceErr := true, (*apierrors.StatusError)(nil)
	if namespaces.NamespaceLister != nil {
		matches, namespaceErr = namespaces.MatchNamespaceSelector(s, a)
	}
	if !matches && namespaceErr == nil {
		return false, nil
	}
	var objects object.Matcher
	matches, objectErr := objects.MatchObjectSelector(s, a)
	if !matches && objectErr == nil {
		return false, nil // whatever is wrong with the namespace
	}
	switch {
	case namespaceErr != nil:
		return false, namespaceErr
	case objectErr != nil:
		return false, objectErr
	}
	return true, nil
}

// objectLabels are those of a write's object, before and after, read once for all plugins.
type objectLabels struct{ object, old labels.Set }

func labelsOf(a admission.Attributes) objectLabels {
	read := func(object runtime.Object) labels.Set {
		if accessor, err := meta.Accessor(object); err == nil {
			return accessor.GetLabels()
		}
		return nil
	}
	return objectLabels{read(a.GetObject()), read(a.GetOldObject())}
}

// match reports whether a selector could select the object. Where that is not easily said it is true.
func (l objectLabels) match(selector labels.Selector) bool {
	return selector.Matches(l.object) || selector.Matches(l.old)
}
