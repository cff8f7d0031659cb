package authn

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authenticator/token/bootstrap"
)

// BootstrapTokens lets in who has the token of a bootstrap Secret in kube-system, which client looks up when somebody comes
// with it, so that no copies of Secrets are kept. It is good for the audiences.
func BootstrapTokens(client kubernetes.Interface, audiences authenticator.Audiences) Member {
	return Member{token: authenticator.WrapAudienceAgnosticToken(audiences, authenticator.TokenFunc(
		func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
			return bootstrap.NewTokenAuthenticator(systemSecrets{ctx, client}).AuthenticateToken(ctx, token)
		}))}
}

// systemSecrets looks up Secrets of kube-system for one request, whose context upstream's lister has no room for.
type systemSecrets struct {
	ctx    context.Context
	client kubernetes.Interface
}

var _ corelisters.SecretNamespaceLister = systemSecrets{}

// Get implements listers.SecretNamespaceLister.
func (s systemSecrets) Get(name string) (*corev1.Secret, error) {
	return s.client.CoreV1().Secrets(metav1.NamespaceSystem).Get(s.ctx, name, metav1.GetOptions{})
}

// List implements listers.SecretNamespaceLister.
func (s systemSecrets) List(selector labels.Selector) ([]*corev1.Secret, error) {
	found, err := s.client.CoreV1().Secrets(metav1.NamespaceSystem).List(s.ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, fmt.Errorf("list Secrets of kube-system: %w", err)
	}
	secrets := make([]*corev1.Secret, len(found.Items))
	for i := range found.Items {
		secrets[i] = &found.Items[i]
	}
	return secrets, nil
}
