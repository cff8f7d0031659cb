package plugins

import (
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"gatehouse/plugins/field"
	"gatehouse/plugins/sandbox"
)

// accessReview is what authorizers are told of one question; all get the same bytes. One goroutine uses it.
type accessReview struct {
	review  *authorizationv1.SubjectAccessReview
	payload []byte // nil before the first guest
}

// Field implements sandbox.Fields.
func (r *accessReview) Field(pointer string) (sandbox.Value, error) {
	return field.Lookup(r.review, pointer)
}

// newAccessReview makes the SubjectAccessReview that upstream would send a webhook.
func newAccessReview(a authorizer.Attributes) *accessReview {
	review := &authorizationv1.SubjectAccessReview{TypeMeta: accessReviewType()}
	if u := a.GetUser(); u != nil {
		review.Spec.User, review.Spec.UID, review.Spec.Groups = u.GetName(), u.GetUID(), u.GetGroups()
		if extra := u.GetExtra(); len(extra) > 0 {
			review.Spec.Extra = make(map[string]authorizationv1.ExtraValue, len(extra))
			for key, values := range extra {
				review.Spec.Extra[key] = values
			}
		}
	}
	if !a.IsResourceRequest() {
		review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: a.GetPath(), Verb: a.GetVerb()}
		return &accessReview{review: review}
	}
	review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Namespace: a.GetNamespace(), Verb: a.GetVerb(), Group: a.GetAPIGroup(), Version: a.GetAPIVersion(),
		Resource: a.GetResource(), Subresource: a.GetSubresource(), Name: a.GetName(),
		FieldSelector: fieldSelector(a), LabelSelector: labelSelector(a),
	}
	return &accessReview{review: review}
}

// fieldSelector is what of the request's field selector an authorizer can rely on. Selectors only narrow a request: one that cannot
// be told is left out, and the request is asked about as if it were for more.
func fieldSelector(a authorizer.Attributes) *authorizationv1.FieldSelectorAttributes {
	parsed, _ := a.GetFieldSelector()
	var requirements []metav1.FieldSelectorRequirement
	for _, one := range parsed {
		operator, known := map[selection.Operator]metav1.FieldSelectorOperator{
			selection.Equals: metav1.FieldSelectorOpIn, selection.DoubleEquals: metav1.FieldSelectorOpIn, selection.In: metav1.FieldSelectorOpIn,
			selection.NotEquals: metav1.FieldSelectorOpNotIn, selection.NotIn: metav1.FieldSelectorOpNotIn,
		}[one.Operator]
		if known {
			requirements = append(requirements, metav1.FieldSelectorRequirement{Key: one.Field, Operator: operator, Values: []string{one.Value}})
		}
	}
	if len(requirements) == 0 {
		return nil
	}
	return &authorizationv1.FieldSelectorAttributes{Requirements: requirements}
}

// labelSelector is the same for labels.
func labelSelector(a authorizer.Attributes) *authorizationv1.LabelSelectorAttributes {
	parsed, _ := a.GetLabelSelector()
	var requirements []metav1.LabelSelectorRequirement
	for _, one := range parsed {
		operator, known := map[selection.Operator]metav1.LabelSelectorOperator{
			selection.Equals: metav1.LabelSelectorOpIn, selection.DoubleEquals: metav1.LabelSelectorOpIn, selection.In: metav1.LabelSelectorOpIn,
			selection.NotEquals: metav1.LabelSelectorOpNotIn, selection.NotIn: metav1.LabelSelectorOpNotIn,
			selection.Exists: metav1.LabelSelectorOpExists, selection.DoesNotExist: metav1.LabelSelectorOpDoesNotExist,
		}[one.Operator()]
		if known {
			requirements = append(requirements,
				metav1.LabelSelectorRequirement{Key: one.Key(), Operator: operator, Values: one.ValuesUnsorted()})
		}
	}
	if len(requirements) == 0 {
		return nil
	}
	return &authorizationv1.LabelSelectorAttributes{Requirements: requirements}
}
