package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
)

const (
	kubeletClientFile = "kubelet-client.pem"
	// kubeletClientName is what kubelets call the server, as in clusters that kubeadm made.
	kubeletClientName = "kube-apiserver-kubelet-client"
)

// KubeletClient is the certificate by which kubelets know this server, with its key. It is another one after a renewal: ask
// anew for each connection.
func (b *Bundle) KubeletClient() *tls.Certificate { return b.kubeletClient.Load() }

// refreshKubeletClient makes sure that there is a client certificate for kubelets with time left.
//
// It is in the group that may do everything, so that no choice of authorizers parts the server from its nodes. A lesser one
// would protect nothing: whoever can read it can read the authority's key beside it.
func (b *Bundle) refreshKubeletClient() error {
	current, err := b.loadPair(kubeletClientFile, "client certificate")
	if err != nil {
		return err
	}
	reason := "there was none"
	if current != nil {
		reason = dueReason(current.Leaf, b.now())
	}
	if reason == "" {
		b.kubeletClient.Store(current)
		return nil
	}
	issued, err := b.issuePair(kubeletClientFile, leaf{
		subject: pkix.Name{CommonName: kubeletClientName, Organization: []string{adminGroup}},
		usage:   x509.ExtKeyUsageClientAuth,
	})
	if err != nil {
		return err
	}
	b.kubeletClient.Store(issued)
	b.request.Logger.Info("issued a client certificate for kubelets", "file", b.path(kubeletClientFile), "reason", reason,
		"expires", issued.Leaf.NotAfter)
	return nil
}
