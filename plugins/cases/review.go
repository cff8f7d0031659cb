package cases

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/apis/authorization"
	authorizationconversion "k8s.io/kubernetes/pkg/apis/authorization/v1"
	kjson "sigs.k8s.io/json"

	"gatehouse/plugins"
)

// asked is what a host can be asked.
type asked interface {
	// ask has the host decide. What only its metrics tell, whether the plugin was asked and failed, is left to the caller.
	ask(ctx context.Context, set *plugins.Set) outcome
}

// defaultUser sends the requests of which a review does not say who does.
const defaultUser = "jane"

// parseReview reads a review, and fills in what follows from the rest of it where it does not say.
func parseReview(data []byte) (asked, error) {
	var kind metav1.TypeMeta
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &kind); err != nil {
		return nil, err
	}
	switch kind.GroupVersionKind() {
	case admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"):
		return parseWrite(data)
	case authenticationv1.SchemeGroupVersion.WithKind("TokenReview"):
		return parseToken(data)
	case schema.GroupVersionKind{Group: "gatehouse.dev", Version: "v1", Kind: "RequestReview"}:
		return parseRequest(data)
	case authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"):
		return parseQuestion(data)
	}
	return nil, fmt.Errorf("apiVersion %q and kind %q are none of admission.k8s.io/v1 AdmissionReview, authentication.k8s.io/v1 TokenReview, "+
		"gatehouse.dev/v1 RequestReview, authorization.k8s.io/v1 SubjectAccessReview", kind.APIVersion, kind.Kind)
}

// write is what an AdmissionReview is about.
type write struct {
	request     *admissionv1.AdmissionRequest
	object, old *unstructured.Unstructured // nil where there is none
	options     runtime.Object
}

func parseWrite(data []byte) (*write, error) {
	var review admissionv1.AdmissionReview
	if err := decode(data, &review); err != nil {
		return nil, err
	}
	w := &write{request: review.Request}
	if w.request == nil {
		return nil, errors.New("request: is missing")
	}
	var err error
	if w.object, err = objectOf(w.request.Object.Raw); err != nil {
		return nil, fmt.Errorf("request.object: %w", err)
	}
	if w.old, err = objectOf(w.request.OldObject.Raw); err != nil {
		return nil, fmt.Errorf("request.oldObject: %w", err)
	}
	if err := w.complete(); err != nil {
		return nil, fmt.Errorf("request.%w", err)
	}
	return w, nil
}

// objectOf is nil for none.
func objectOf(raw []byte) (*unstructured.Unstructured, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(raw)
}

// complete fills in what follows from the objects.
func (w *write) complete() error {
	r := w.request
	if r.Operation == "" {
		r.Operation = admissionv1.Update
		if w.old == nil {
			r.Operation = admissionv1.Create
		} else if w.object == nil {
			r.Operation = admissionv1.Delete
		}
	}
	if !slices.Contains([]admissionv1.Operation{admissionv1.Create, admissionv1.Update, admissionv1.Delete, admissionv1.Connect}, r.Operation) {
		return fmt.Errorf("operation: %q is none of CREATE, UPDATE, DELETE, CONNECT", r.Operation)
	}
	for _, object := range []*unstructured.Unstructured{w.object, w.old} {
		if object == nil {
			continue
		}
		kind := metav1.GroupVersionKind(object.GroupVersionKind())
		if r.Kind == (metav1.GroupVersionKind{}) {
			r.Kind = kind
		}
		if r.Kind != kind {
			return fmt.Errorf("kind: is %s, but there is an object of the kind %s", r.Kind.String(), kind.String())
		}
		if r.Name == "" {
			r.Name = object.GetName()
		}
		if r.Namespace == "" {
			r.Namespace = object.GetNamespace()
		}
	}
	if r.Kind.Kind == "" {
		return errors.New("kind: is missing, and there is no object to know it by")
	}
	if r.Resource == (metav1.GroupVersionResource{}) {
		guessed, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind(r.Kind))
		r.Resource = metav1.GroupVersionResource(guessed)
	}
	if r.UserInfo.Username == "" {
		r.UserInfo.Username = defaultUser
	}
	return w.completeOptions()
}

// completeOptions makes the options that a client sends who has no wishes.
func (w *write) completeOptions() error {
	given, err := objectOf(w.request.Options.Raw)
	if err != nil {
		return fmt.Errorf("options: %w", err)
	}
	if given != nil {
		w.options = given
		return nil
	}
	typed := func(kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: metav1.GroupName + "/v1", Kind: kind}
	}
	switch w.request.Operation {
	case admissionv1.Create:
		w.options = &metav1.CreateOptions{TypeMeta: typed("CreateOptions")}
	case admissionv1.Update:
		w.options = &metav1.UpdateOptions{TypeMeta: typed("UpdateOptions")}
	case admissionv1.Delete:
		w.options = &metav1.DeleteOptions{TypeMeta: typed("DeleteOptions")}
	}
	return nil
}

// credentials are what a TokenReview or a RequestReview is about.
type credentials struct {
	request   *http.Request
	audiences []string
}

func parseToken(data []byte) (*credentials, error) {
	var review authenticationv1.TokenReview
	if err := decode(data, &review); err != nil {
		return nil, err
	}
	if review.Spec.Token == "" {
		return nil, errors.New("spec.token: is missing")
	}
	// Without a URL the host asks about nothing but the token.
	return &credentials{&http.Request{Header: http.Header{"Authorization": {"Bearer " + review.Spec.Token}}}, review.Spec.Audiences}, nil
}

// requestReview is described in sdk/SPEC.md.
type requestReview struct {
	metav1.TypeMeta `json:",inline"`
	Spec            struct {
		Method             string              `json:"method"`
		Path               string              `json:"path"`
		Query              string              `json:"query,omitempty"`
		Host               string              `json:"host,omitempty"`
		RemoteAddress      string              `json:"remoteAddress,omitempty"`
		Headers            map[string][]string `json:"headers,omitempty"`
		ClientCertificates [][]byte            `json:"clientCertificates,omitempty"`
		Audiences          []string            `json:"audiences,omitempty"`
	} `json:"spec"`
}

func parseRequest(data []byte) (*credentials, error) {
	var review requestReview
	if err := decode(data, &review); err != nil {
		return nil, err
	}
	spec := review.Spec
	r := &http.Request{
		Method: spec.Method, URL: &url.URL{Path: spec.Path, RawQuery: spec.Query},
		Host: spec.Host, RemoteAddr: spec.RemoteAddress, Header: http.Header{},
	}
	if r.Method == "" || r.URL.Path == "" {
		return nil, errors.New("spec: method or path is missing")
	}
	for name, values := range spec.Headers {
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	if len(spec.ClientCertificates) > 0 {
		r.TLS = presented(spec.ClientCertificates)
	}
	return &credentials{r, spec.Audiences}, nil
}

// chain are certificates of which nobody looks at more than their bytes.
func chain(ders [][]byte) []*x509.Certificate {
	certificates := make([]*x509.Certificate, len(ders))
	for i, der := range ders {
		certificates[i] = &x509.Certificate{Raw: der}
	}
	return certificates
}

// question is what a SubjectAccessReview is about.
type question struct {
	spec authorization.SubjectAccessReviewSpec
}

func parseQuestion(data []byte) (*question, error) {
	var review authorizationv1.SubjectAccessReview
	if err := decode(data, &review); err != nil {
		return nil, err
	}
	if (review.Spec.ResourceAttributes == nil) == (review.Spec.NonResourceAttributes == nil) {
		return nil, errors.New("spec: want either resourceAttributes or nonResourceAttributes")
	}
	if review.Spec.User == "" {
		review.Spec.User = defaultUser
	}
	q := &question{}
	err := authorizationconversion.Convert_v1_SubjectAccessReviewSpec_To_authorization_SubjectAccessReviewSpec(&review.Spec, &q.spec, nil)
	return q, err
}
