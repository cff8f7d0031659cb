package capability

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

// KubernetesGrant lets a plugin read objects. The server reads them for it: what the user of the request may read does not matter.
type KubernetesGrant struct {
	// Objects are those that it may read.
	Objects []ObjectsGrant `json:"objects"`
	// MaxObjects is how many one k8s.list may answer; DefaultMaxObjects when left out.
	MaxObjects int `json:"maxObjects,omitempty"`
	// MaxBytes is how much one k8s.get or k8s.list may answer; DefaultMaxBytes when left out.
	MaxBytes resource.Quantity `json:"maxBytes,omitempty"`
}

// ObjectsGrant are the objects of one kind. There is no word for every kind: Secrets are read by those for whom the word Secret
// has been written down.
type ObjectsGrant struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Namespaces are where they are read; everywhere when left out. One that ends in * stands for all that begin alike.
	Namespaces []string `json:"namespaces,omitempty"`
	// Names are those that are read, one by one and not as lists; all when left out.
	Names []string `json:"names,omitempty"`
}

// objects answers k8s.get and k8s.list.
type objects struct {
	source     Objects
	granted    []objectsOf
	maxObjects int
	maxBytes   int64
}

// objectsOf is an ObjectsGrant that has been checked.
type objectsOf struct {
	schema.GroupVersionKind
	ObjectsGrant
}

// objectsRequest is the payload of both.
type objectsRequest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	// Name is for k8s.get alone, LabelSelector for k8s.list.
	Name          string `json:"name"`
	LabelSelector string `json:"labelSelector"`
}

func newObjects(source Objects, grant *KubernetesGrant) (*objects, error) {
	o := &objects{source: source}
	if len(grant.Objects) == 0 {
		return nil, errors.New("objects: is empty, so nothing could be read: name kinds, or leave out k8s")
	}
	for i, one := range grant.Objects {
		version, err := schema.ParseGroupVersion(one.APIVersion)
		if err != nil || version.Version == "" || one.Kind == "" || strings.Contains(one.APIVersion+one.Kind, "*") {
			return nil, fmt.Errorf("objects[%d]: needs an apiVersion, such as apps/v1, and a kind, and neither can be *", i)
		}
		if one.Namespaces != nil && len(one.Namespaces) == 0 || one.Names != nil && len(one.Names) == 0 {
			return nil, fmt.Errorf("objects[%d]: an empty list of namespaces or names would grant nothing: leave it out to grant all", i)
		}
		o.granted = append(o.granted, objectsOf{version.WithKind(one.Kind), one})
	}
	var err error
	if o.maxObjects, err = atMost("maxObjects", grant.MaxObjects, DefaultMaxObjects, mostObjects); err != nil {
		return nil, err
	}
	o.maxBytes, err = bytesAtMost("maxBytes", grant.MaxBytes, DefaultMaxBytes)
	return o, err
}

// get answers {"found": true, "object": {...}} or {"found": false}.
func (o *objects) get(ctx context.Context, payload []byte) ([]byte, error) {
	request, kind, err := o.read(payload)
	if err != nil {
		return nil, err
	}
	if request.LabelSelector != "" {
		return nil, errors.New("labelSelector is for k8s.list")
	}
	if request.Name == "" {
		return nil, errors.New("name is missing")
	}
	if problems := content.IsPathSegmentName(request.Name); len(problems) > 0 {
		return nil, fmt.Errorf("the name %q %s", request.Name, strings.Join(problems, ", "))
	}
	if err := o.allow(request, kind); err != nil {
		return nil, err
	}
	object, err := o.source.Get(ctx, kind, request.Namespace, request.Name, o.maxBytes)
	switch {
	case err != nil:
		return nil, err
	case object == nil:
		return []byte(`{"found":false}`), nil
	}
	return slices.Concat([]byte(`{"found":true,"object":`), object, []byte("}")), nil
}

// list answers the list as a client would get it.
func (o *objects) list(ctx context.Context, payload []byte) ([]byte, error) {
	request, kind, err := o.read(payload)
	if err != nil {
		return nil, err
	}
	if request.Name != "" {
		return nil, errors.New("name is for k8s.get")
	}
	if _, err := labels.Parse(request.LabelSelector); err != nil {
		return nil, fmt.Errorf("labelSelector: %w", err)
	}
	if err := o.allow(request, kind); err != nil {
		return nil, err
	}
	return o.source.List(ctx, kind, request.Namespace, request.LabelSelector, o.maxObjects, o.maxBytes)
}

func (o *objects) read(payload []byte) (objectsRequest, schema.GroupVersionKind, error) {
	var request objectsRequest
	var kind schema.GroupVersionKind
	if o.source == nil {
		return request, kind, errors.New("there are no objects to read here")
	}
	if err := decode(payload, &request); err != nil {
		return request, kind, err
	}
	version, err := schema.ParseGroupVersion(request.APIVersion)
	if err != nil || version.Version == "" || request.Kind == "" {
		return request, kind, fmt.Errorf("apiVersion %q and kind %q name no kind", request.APIVersion, request.Kind)
	}
	if problems := validation.IsDNS1123Label(request.Namespace); request.Namespace != "" && len(problems) > 0 {
		return request, kind, fmt.Errorf("the namespace %q is none: %s", request.Namespace, strings.Join(problems, ", "))
	}
	return request, version.WithKind(request.Kind), nil
}

// allow is nil if one of the grants has everything that is asked for.
func (o *objects) allow(request objectsRequest, kind schema.GroupVersionKind) error {
	for _, g := range o.granted {
		if g.GroupVersionKind == kind && g.allows(request) {
			return nil
		}
	}
	what := fmt.Sprintf("every %s", kind.Kind)
	if request.Name != "" {
		what = fmt.Sprintf("the %s %q", kind.Kind, request.Name)
	}
	entry := fmt.Sprintf("{apiVersion: %s, kind: %s}", request.APIVersion, request.Kind)
	if request.Namespace != "" {
		what += fmt.Sprintf(" in the namespace %q", request.Namespace)
		entry = fmt.Sprintf("{apiVersion: %s, kind: %s, namespaces: [%s]}", request.APIVersion, request.Kind, request.Namespace)
	}
	return fmt.Errorf("%s of %s is not granted to this plugin: add to capabilities.k8s.objects of its YAML file the line `- %s`",
		what, request.APIVersion, entry)
}

func (g objectsOf) allows(request objectsRequest) bool {
	if g.Names != nil && (request.Name == "" || !slices.Contains(g.Names, request.Name)) {
		return false
	}
	return g.Namespaces == nil || request.Namespace != "" && slices.ContainsFunc(g.Namespaces, func(pattern string) bool {
		prefix, wild := strings.CutSuffix(pattern, "*")
		return pattern == request.Namespace || wild && strings.HasPrefix(request.Namespace, prefix)
	})
}
