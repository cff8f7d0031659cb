package main

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// readerName is that of the service account and of what lets it read.
const readerName = "reader"

// newReader makes a service account that may read in the default namespace, and returns a client's configuration with its token.
func newReader(ctx context.Context, administrator *rest.Config) (*rest.Config, error) {
	clients, err := kubernetes.NewForConfig(administrator)
	if err != nil {
		return nil, err
	}
	namespace := metav1.NamespaceDefault
	accounts := clients.CoreV1().ServiceAccounts(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: readerName}}
	if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("make a service account: %w", err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: readerName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: readerName}},
	}
	if _, err := clients.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("let the service account read: %w", err)
	}
	token, err := accounts.CreateToken(ctx, readerName, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("make a token: %w", err)
	}
	config := rest.AnonymousClientConfig(administrator)
	config.BearerToken = token.Status.Token
	return config, nil
}
