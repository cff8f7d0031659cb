package cases

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/warning"
	authorizationutil "k8s.io/kubernetes/pkg/registry/authorization/util"

	"gatehouse/plugins"
)

// outcome is what became of a review.
type outcome struct {
	decision      Decision
	code          int32
	message       string
	warnings      []string
	annotations   map[string]string
	before, after map[string]any // the object; nil where there is none
	user          *User
}

// record keeps what a plugin says besides its verdict. One request uses it at a time.
type record struct {
	admission.Attributes // nil but for writes

	warnings    []string
	annotations map[string]string
}

// AddWarning implements warning.Recorder. As from a server, the same text comes but once.
func (r *record) AddWarning(_, text string) {
	if !slices.Contains(r.warnings, text) {
		r.warnings = append(r.warnings, text)
	}
}

// AddAnnotation implements admission.Attributes.
func (r *record) AddAnnotation(key, value string) error {
	return r.AddAnnotationWithLevel(key, value, auditinternal.LevelMetadata)
}

// AddAnnotationWithLevel implements admission.Attributes.
func (r *record) AddAnnotationWithLevel(key, value string, level auditinternal.Level) error {
	if err := r.Attributes.AddAnnotationWithLevel(key, value, level); err != nil {
		return err
	}
	r.annotations[key] = value
	return nil
}

func (w *write) ask(ctx context.Context, set *plugins.Set) outcome {
	said := &record{annotations: map[string]string{}}
	said.Attributes = w.attributes()
	ctx = warning.WithWarningRecorder(ctx, said)
	chain := admission.NewChainHandler(set.Admission(plugins.Selection{}))
	objects := admission.NewObjectInterfacesFromScheme(runtime.NewScheme()) // objects of no known kind stay as they are
	err := chain.Admit(ctx, said, objects)
	if err == nil {
		err = chain.Validate(ctx, said, objects)
	}
	o := outcome{decision: Allowed, warnings: said.warnings, annotations: said.annotations}
	if w.object != nil {
		o.before = w.object.Object
		o.after = said.GetObject().(*unstructured.Unstructured).Object
	}
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		o.decision, o.code, o.message = Denied, status.Status().Code, status.Status().Message
	case err != nil:
		o.decision, o.message = Failed, err.Error()
	}
	return o
}

// attributes are the write as the server would see it, with an object that may be patched.
func (w *write) attributes() admission.Attributes {
	var object, old runtime.Object // not pointers to nothing
	if w.object != nil {
		object = w.object.DeepCopy()
	}
	if w.old != nil {
		old = w.old.DeepCopy()
	}
	r := w.request
	info := &user.DefaultInfo{Name: r.UserInfo.Username, UID: r.UserInfo.UID, Groups: r.UserInfo.Groups, Extra: map[string][]string{}}
	for key, values := range r.UserInfo.Extra {
		info.Extra[key] = values
	}
	return admission.NewAttributesRecord(object, old, schema.GroupVersionKind(r.Kind), r.Namespace, r.Name,
		schema.GroupVersionResource(r.Resource), r.SubResource, admission.Operation(r.Operation), w.options,
		r.DryRun != nil && *r.DryRun, info)
}

func (c *credentials) ask(ctx context.Context, set *plugins.Set) outcome {
	if len(c.audiences) > 0 {
		ctx = authenticator.WithAudiences(ctx, c.audiences)
	}
	response, ok, err := set.Authentication(plugins.Selection{}, c.audiences).AuthenticateRequest(c.request.Clone(ctx))
	switch {
	case ok:
		return outcome{decision: Allowed, user: &User{
			Username: response.User.GetName(), UID: response.User.GetUID(),
			Groups: response.User.GetGroups(), Extra: response.User.GetExtra(),
		}}
	case errors.Is(err, plugins.ErrUnavailable):
		return outcome{decision: Failed, message: err.Error()}
	case err != nil:
		return outcome{decision: Denied, message: err.Error()}
	}
	return outcome{decision: NoOpinion}
}

// presented is a connection whose client has sent those certificates.
func presented(ders [][]byte) *tls.ConnectionState {
	return &tls.ConnectionState{PeerCertificates: chain(ders)}
}

func (q *question) ask(ctx context.Context, set *plugins.Set) outcome {
	said := &record{}
	decision, reason, err := set.Authorization(plugins.Selection{}).Authorize(
		warning.WithWarningRecorder(ctx, said), authorizationutil.AuthorizationAttributesFrom(q.spec))
	o := outcome{decision: NoOpinion, message: reason, warnings: said.warnings}
	switch {
	case err != nil:
		o.decision, o.message = Failed, err.Error()
	case decision == authorizer.DecisionAllow:
		o.decision = Allowed
	case decision == authorizer.DecisionDeny:
		o.decision = Denied
	}
	return o
}
