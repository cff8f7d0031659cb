package controllers

import (
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/controlplane/controller/clusterauthenticationtrust"
)

// addTrust adds the loop that publishes whom this server trusts, in the ConfigMap extension-apiserver-authentication of
// namespace kube-system. Extension API servers, kubelets and other servers that leave authentication to this one read it. It
// looks for changes once a minute.
func (l *Loops) addTrust(config Config, client kubernetes.Interface) {
	publisher := clusterauthenticationtrust.NewClusterAuthenticationTrustController(config.Trust, client)
	l.loop(func() { publisher.Run(l.ctx, 1) })
}
