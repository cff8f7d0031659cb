package cases

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// namespaces has every namespace, with the labels of the case that is at hand. One case uses it at a time.
type namespaces struct{ labels map[string]string }

var _ corelisters.NamespaceLister = (*namespaces)(nil)

// Get implements corelisters.NamespaceLister.
func (n *namespaces) Get(name string) (*corev1.Namespace, error) {
	has := map[string]string{corev1.LabelMetadataName: name}
	maps.Copy(has, n.labels)
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: has}}, nil
}

// List implements corelisters.NamespaceLister.
func (n *namespaces) List(labels.Selector) ([]*corev1.Namespace, error) { return nil, nil }

// nobody may do anything.
type nobody struct{}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (nobody) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionNoOpinion, "", nil
}
