package plugins

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/admission"

	"gatehouse/plugins/field"
	"gatehouse/plugins/patch"
	"gatehouse/plugins/sandbox"
)

// review is what guests are told of one phase of a write. It converts, encodes and applies patches as upstream's webhooks
// do, and does each no more often than the guests need: those that see the same version of an unchanged object get the same
// bytes. One goroutine uses it.
type review struct {
	request *request
	uid     types.UID
	// versioned holds the objects in the version asked for last, patches included; nil before the first guest.
	versioned *admission.VersionedAttributes
	target    target
	// admission is the review of the current target, payload its JSON; nil when they have to be made anew.
	admission *admissionv1.AdmissionReview
	payload   []byte
}

func newReview(r *request) *review {
	return &review{request: r, uid: uuid.NewUUID()}
}

// turnTo makes the review speak of the target's versions.
func (r *review) turnTo(t target) error {
	var err error
	if r.versioned == nil {
		r.versioned, err = admission.NewVersionedAttributes(r.request.Attributes, t.kind, r.request.objects)
	} else {
		err = admission.ConvertVersionedAttributes(r.versioned, t.kind, r.request.objects)
	}
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if r.target != t {
		r.target = t
		r.forget()
	}
	return nil
}

// seen is the write with what patches have changed.
func (r *review) seen() admission.Attributes {
	if r.versioned == nil {
		return r.request.Attributes
	}
	return r.versioned
}

// forget drops what was made from an object that has changed since.
func (r *review) forget() { r.admission, r.payload = nil, nil }

// encoded is the review as JSON.
func (r *review) encoded() ([]byte, error) {
	if r.payload != nil {
		return r.payload, nil
	}
	payload, err := encodeReview(r.current())
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("encode the AdmissionReview: %w", err))
	}
	r.payload = payload
	return payload, nil
}

// Field implements sandbox.Fields: the answer is what the JSON would hold, but is taken from the objects.
func (r *review) Field(pointer string) (sandbox.Value, error) {
	if pointer == "" {
		payload, err := r.encoded()
		return sandbox.Value{Kind: sandbox.Object, Text: payload}, err
	}
	request := r.current().Request
	for _, part := range []struct {
		prefix string
		object runtime.Object
	}{
		{"/request/object", request.Object.Object},
		{"/request/oldObject", request.OldObject.Object},
		{"/request/options", request.Options.Object},
	} {
		if rest, ok := field.Under(pointer, part.prefix); ok {
			return field.Lookup(part.object, rest)
		}
	}
	return field.Lookup(r.admission, pointer)
}

// current makes the AdmissionReview that upstream would send.
func (r *review) current() *admissionv1.AdmissionReview {
	if r.admission != nil {
		return r.admission
	}
	a := r.request.Attributes
	dryRun := a.IsDryRun()
	requestKind, requestResource := metav1.GroupVersionKind(a.GetKind()), metav1.GroupVersionResource(a.GetResource())
	r.admission = &admissionv1.AdmissionReview{
		TypeMeta: reviewType(),
		Request: &admissionv1.AdmissionRequest{
			UID:                r.uid,
			Kind:               metav1.GroupVersionKind(r.target.kind),
			Resource:           metav1.GroupVersionResource(r.target.resource),
			SubResource:        a.GetSubresource(),
			RequestKind:        &requestKind,
			RequestResource:    &requestResource,
			RequestSubResource: a.GetSubresource(),
			Name:               a.GetName(),
			Namespace:          a.GetNamespace(),
			Operation:          admissionv1.Operation(a.GetOperation()),
			UserInfo:           userInfo(a),
			Object:             runtime.RawExtension{Object: r.versioned.VersionedObject.Object()},
			OldObject:          runtime.RawExtension{Object: r.versioned.VersionedOldObject.Object()},
			DryRun:             &dryRun,
			Options:            runtime.RawExtension{Object: a.GetOperationOptions()},
		},
	}
	return r.admission
}

func reviewType() metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}
}

func userInfo(a admission.Attributes) authenticationv1.UserInfo {
	user := a.GetUserInfo()
	if user == nil {
		return authenticationv1.UserInfo{}
	}
	info := authenticationv1.UserInfo{Username: user.GetName(), UID: user.GetUID(), Groups: user.GetGroups()}
	if extra := user.GetExtra(); len(extra) > 0 {
		info.Extra = make(map[string]authenticationv1.ExtraValue, len(extra))
		for key, values := range extra {
			info.Extra[key] = values
		}
	}
	return info
}

// patched applies a patch to the object and returns the result, defaulted, or nil when it changes nothing.
func (r *review) patched(p patch.Patch) (runtime.Object, error) {
	old := r.versioned.VersionedObject.Object()
	if old == nil {
		return nil, sandbox.Garbledf("it answered a patch, but there is no object to change when one is deleted")
	}
	result, changed, err := patch.Apply(old, r.versioned.VersionedKind, r.request.objects, p)
	var blame *patch.Error
	switch {
	case errors.As(err, &blame) && blame.Misshapes:
		return nil, &sandbox.Fault{Kind: sandbox.Garbled, Quote: oneLine(blame.Cause),
			Cause: fmt.Sprintf("its patch makes the object something that is no %s", r.target.kind.Kind)}
	case errors.As(err, &blame):
		return nil, sandbox.Garbledf("its patch does not apply: %s", oneLine(blame.Cause))
	case err != nil:
		return nil, apierrors.NewInternalError(err)
	case !changed:
		return nil, nil
	}
	return result, nil
}

// replace makes object the one that later guests see and that finish hands on.
func (r *review) replace(object runtime.Object) {
	r.versioned.UpdateObject(object)
	r.forget()
}

// finish writes what patches have changed back into the request's own object.
func (r *review) finish() error {
	if r.versioned == nil || !r.versioned.Dirty || r.versioned.VersionedObject.Object() == nil {
		return nil
	}
	return r.request.objects.GetObjectConvertor().Convert(
		r.versioned.VersionedObject.Object(), r.versioned.Attributes.GetObject(), nil)
}
