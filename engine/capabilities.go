package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync/atomic"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/authorization"
	"k8s.io/kubernetes/pkg/registry/authorization/subjectaccessreview"

	"gatehouse/engine/api"
	"gatehouse/engine/loopback"
	"gatehouse/engine/objects/informers"
	"gatehouse/plugins/capability"
)

// errNotServing answers plugins that ask before there is a server to ask: while they are configured at its start.
var errNotServing = errors.New("the server does not serve yet: ask when a request is at hand")

// reach is what plugins with capabilities reach of the server. It answers nothing until it has been told to serve, which is when the
// server has been put together: plugins are loaded before.
type reach struct {
	client *http.Client
	host   string
	served atomic.Pointer[served]
}

// served is what there is when the server has been put together.
type served struct {
	objects *api.API
	members authorizer.UnconditionalAuthorizer
	reviews *subjectaccessreview.REST
}

var (
	_ capability.Objects = (*reach)(nil)
	_ capability.Access  = (*reach)(nil)

	_ authorizer.UnconditionalAuthorizer = (*reach)(nil)
)

func newReach(transport *loopback.Transport) *reach {
	return &reach{client: &http.Client{Transport: transport}, host: transport.Config().Host}
}

// serve lets plugins read objects and ask members.
func (r *reach) serve(objects *api.API, members authorizer.UnconditionalAuthorizer) {
	r.served.Store(&served{objects: objects, members: members, reviews: subjectaccessreview.NewREST(members, legacyscheme.Scheme)})
}

// Authorize implements authorizer.UnconditionalAuthorizer for plugins' matchConditions.
func (r *reach) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	s := r.served.Load()
	if s == nil {
		return authorizer.DecisionNoOpinion, "", errNotServing
	}
	return s.members.Authorize(ctx, a)
}

// Get implements capability.Objects.
func (r *reach) Get(ctx context.Context, kind schema.GroupVersionKind, namespace, name string, maxBytes int64) ([]byte, error) {
	s, resource, err := r.find(kind, namespace)
	if err != nil {
		return nil, err
	}
	if resource.Namespaced && namespace == "" {
		return nil, fmt.Errorf("the %s %q is in a namespace: say in which", kind.Kind, name)
	}
	object, err := s.objects.Shown(ctx, kind, namespace, name)
	if err != nil {
		return nil, err
	}
	if int64(len(object)) > maxBytes {
		return nil, tooLong(maxBytes)
	}
	return object, nil
}

// List implements capability.Objects.
func (r *reach) List(
	ctx context.Context, kind schema.GroupVersionKind, namespace, labelSelector string, maxObjects int, maxBytes int64,
) ([]byte, error) {
	_, resource, err := r.find(kind, namespace)
	if err != nil {
		return nil, err
	}
	query := url.Values{"limit": {strconv.Itoa(maxObjects)}}
	if labelSelector != "" {
		query.Set("labelSelector", labelSelector)
	}
	list, err := r.read(ctx, pathOf(kind, namespace, resource), query, maxBytes)
	if err != nil {
		return nil, err
	}
	metadata, err := listMetadata(list)
	if err != nil {
		return nil, fmt.Errorf("read the list of every %s: %w", kind.Kind, err)
	}
	if metadata.Continue != "" {
		return nil, fmt.Errorf("there are more than the %d objects of capabilities.k8s.maxObjects: ask for fewer by namespace or "+
			"labelSelector, or raise that", maxObjects)
	}
	return list, nil
}

// Changed implements capability.Objects.
func (r *reach) Changed(ctx context.Context, kind schema.GroupVersionKind) (int64, error) {
	_, resource, err := r.find(kind, "")
	if err != nil {
		return 0, err
	}
	return resource.Collection.Changed(ctx)
}

// find finds where the objects of a kind are. A namespace is an error if they are in none.
func (r *reach) find(kind schema.GroupVersionKind, namespace string) (*served, informers.Resource, error) {
	s := r.served.Load()
	if s == nil {
		return nil, informers.Resource{}, errNotServing
	}
	resource, err := s.objects.Informed(kind)
	if err != nil {
		return nil, informers.Resource{}, err
	}
	if namespace != "" && !resource.Namespaced {
		return nil, informers.Resource{}, fmt.Errorf("a %s is in no namespace: leave it out", kind.Kind)
	}
	return s, resource, nil
}

// pathOf is where clients list the objects of a kind, in a namespace or in all.
func pathOf(kind schema.GroupVersionKind, namespace string, resource informers.Resource) string {
	at := path.Join("/apis", kind.Group, kind.Version)
	if kind.Group == "" {
		at = "/api/" + kind.Version
	}
	if namespace != "" {
		at = path.Join(at, "namespaces", namespace)
	}
	return path.Join(at, resource.Resource)
}

func tooLong(maxBytes int64) error {
	return fmt.Errorf("the answer has more than the %d bytes of capabilities.k8s.maxBytes", maxBytes)
}

// read gets a list in JSON, as the server's own client.
func (r *reach) read(ctx context.Context, at string, query url.Values, maxBytes int64) ([]byte, error) {
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet, r.host+at+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	asked.Header.Set("Accept", "application/json")
	response, err := r.client.Do(asked)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", at, err)
	case response.StatusCode != http.StatusOK:
		return nil, statusError(response.StatusCode, body)
	case int64(len(body)) > maxBytes:
		return nil, tooLong(maxBytes)
	}
	return bytes.TrimSuffix(body, []byte("\n")), nil
}

func statusError(code int, body []byte) error {
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil || status.Kind != "Status" {
		return fmt.Errorf("the server answers itself with %d", code)
	}
	return &apierrors.StatusError{ErrStatus: status}
}

// listMetadata reads a list up to its metadata, which comes before its items.
func listMetadata(list []byte) (metadata metav1.ListMeta, err error) {
	decoder := json.NewDecoder(bytes.NewReader(list))
	if _, err := decoder.Token(); err != nil { // the brace
		return metadata, err
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return metadata, err
		}
		if key == "metadata" {
			return metadata, decoder.Decode(&metadata)
		}
		var passed json.RawMessage
		if err := decoder.Decode(&passed); err != nil {
			return metadata, err
		}
	}
	return metadata, errors.New("a list without metadata")
}

// Review implements capability.Access. It does what a client's creation of a SubjectAccessReview does, but under the context of whoever
// asks.
func (r *reach) Review(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (authorizationv1.SubjectAccessReviewStatus, error) {
	var status authorizationv1.SubjectAccessReviewStatus
	s := r.served.Load()
	if s == nil {
		return status, errNotServing
	}
	var review authorization.SubjectAccessReview
	asked := &authorizationv1.SubjectAccessReview{Spec: spec}
	if err := legacyscheme.Scheme.Convert(asked, &review, nil); err != nil {
		return status, fmt.Errorf("read the question: %w", err)
	}
	// The declared part of validation goes by the version that the request is made in.
	of := authorizationv1.SchemeGroupVersion
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{IsResourceRequest: true, Verb: "create",
		APIPrefix: "apis", APIGroup: of.Group, APIVersion: of.Version, Resource: "subjectaccessreviews"})
	answer, err := s.reviews.Create(ctx, &review, nil, &metav1.CreateOptions{})
	if err != nil {
		return status, err
	}
	var answered authorizationv1.SubjectAccessReview
	if err := legacyscheme.Scheme.Convert(answer, &answered, nil); err != nil {
		return status, fmt.Errorf("tell the answer: %w", err)
	}
	return answered.Status, nil
}
