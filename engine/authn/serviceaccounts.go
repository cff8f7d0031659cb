package authn

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// ServiceAccounts lets in who has a token of a service account: one that was signed by keys in the name of an issuer, for one
// of the audiences, and whose account and what else it is bound to exist, which client looks up; or one of the old kind,
// which stands in a Secret, does not end, and is for this server alone. revision is another number after each change of a
// service account, and shows those that were acknowledged: tokens of deleted accounts are not remembered.
func ServiceAccounts(keys *ServiceAccountKeys, issuers []string, audiences authenticator.Audiences, client kubernetes.Interface,
	revision func() int64) (Member, error) {
	bound := BoundObjects{Client: client}
	legacy, err := serviceaccount.NewLegacyValidator(true, bound, client.CoreV1())
	if err != nil {
		return Member{}, fmt.Errorf("verify service account tokens that stand in Secrets: %w", err)
	}
	return Member{
		token: tokenunion.New(
			serviceaccount.JWTTokenAuthenticator([]string{serviceaccount.LegacyIssuer}, keys, audiences, legacy),
			serviceaccount.JWTTokenAuthenticator(issuers, keys, audiences, serviceaccount.NewValidator(bound)),
		),
		revision: revision,
		onChange: func(forget func()) { keys.AddListener(listener(forget)) },
	}, nil
}

// BoundObjects looks up what service account tokens are bound to with the server's own client, object by object, so that
// no copies of secrets, pods or nodes are kept for it.
type BoundObjects struct {
	Client kubernetes.Interface
}

var _ serviceaccount.ServiceAccountTokenGetter = BoundObjects{}

// GetServiceAccount implements serviceaccount.ServiceAccountTokenGetter.
func (b BoundObjects) GetServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	return b.Client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
}

// GetPod implements serviceaccount.ServiceAccountTokenGetter.
func (b BoundObjects) GetPod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	return b.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
}

// GetSecret implements serviceaccount.ServiceAccountTokenGetter.
func (b BoundObjects) GetSecret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return b.Client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
}

// GetNode implements serviceaccount.ServiceAccountTokenGetter.
func (b BoundObjects) GetNode(ctx context.Context, name string) (*corev1.Node, error) {
	return b.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
}

// GetValidatingWebhookConfiguration implements serviceaccount.ServiceAccountTokenGetter.
func (b BoundObjects) GetValidatingWebhookConfiguration(ctx context.Context, name string) (*admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	return b.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, name, metav1.GetOptions{})
}

// GetMutatingWebhookConfiguration implements serviceaccount.ServiceAccountTokenGetter.
func (b BoundObjects) GetMutatingWebhookConfiguration(ctx context.Context, name string) (*admissionregistrationv1.MutatingWebhookConfiguration, error) {
	return b.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, name, metav1.GetOptions{})
}
