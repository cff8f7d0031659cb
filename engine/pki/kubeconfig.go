package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"gatehouse/engine/datadir"
)

const (
	adminKubeconfigFile = "admin.kubeconfig"

	// ClusterName, ContextName and AdminName are the entries that admin.kubeconfig has.
	ClusterName = "gatehouse"
	ContextName = "gatehouse"
	AdminName   = "kubernetes-admin"

	// adminGroup is the group that may do everything.
	adminGroup = "system:masters"
)

// AdminKubeconfigPath is where the admin's kubeconfig is in a data directory, whether or not it is there yet.
func AdminKubeconfigPath(dataDir string) string { return filepath.Join(dataDir, adminKubeconfigFile) }

// ReadAdminKubeconfig reads the admin's kubeconfig in a data directory, which a server must have made.
func ReadAdminKubeconfig(dataDir string) (*clientcmdapi.Config, error) {
	path := AdminKubeconfigPath(dataDir)
	kubeconfig, err := readKubeconfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s; start the server with `gatehouse serve`, which makes it, "+
			"or name its data directory with --data-dir", path)
	}
	return kubeconfig, err
}

func readKubeconfig(path string) (*clientcmdapi.Config, error) {
	content, err := readFile(path, true)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := clientcmd.Load(content)
	if err != nil {
		return nil, fmt.Errorf("%s is no kubeconfig: %w; delete it and start the server to have a new one made", path, err)
	}
	return kubeconfig, nil
}

// refreshKubeconfig makes sure that admin.kubeconfig leads to the server with a certificate that has time left. What else
// its owner has put into it, such as another context or a default namespace, stays.
func (b *Bundle) refreshKubeconfig() error {
	path := b.AdminKubeconfig()
	kubeconfig, err := readKubeconfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		kubeconfig = clientcmdapi.NewConfig()
	} else if err != nil {
		return err
	}
	credentialsReason, err := b.refreshCredentials(kubeconfig)
	if err != nil {
		return err
	}
	changed := nonEmpty(b.refreshCluster(kubeconfig), credentialsReason, refreshContext(kubeconfig))
	if len(changed) == 0 {
		return nil
	}
	content, err := clientcmd.Write(*kubeconfig)
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", path, err)
	}
	if err := datadir.WriteFile(path, content, datadir.PrivateMode); err != nil {
		return err
	}
	b.request.Logger.Info("wrote a kubeconfig", "file", path, "user", AdminName, "server", b.request.ServerURL, "reasons", changed)
	return nil
}

// refreshCluster sets the server's address and authority, and says what it changed.
func (b *Bundle) refreshCluster(kubeconfig *clientcmdapi.Config) string {
	cluster := kubeconfig.Clusters[ClusterName]
	switch {
	case cluster == nil:
		cluster = clientcmdapi.NewCluster()
		kubeconfig.Clusters[ClusterName] = cluster
	case cluster.Server == b.request.ServerURL && bytes.Equal(cluster.CertificateAuthorityData, b.authority.pem):
		return ""
	}
	cluster.Server = b.request.ServerURL
	cluster.CertificateAuthorityData = b.CAPEM()
	cluster.CertificateAuthority = "" // A path would be used instead of the data.
	return "server address or authority"
}

// refreshCredentials issues a client certificate if there is none that will do, and says why it did.
func (b *Bundle) refreshCredentials(kubeconfig *clientcmdapi.Config) (string, error) {
	reason, err := b.credentialsReason(kubeconfig.AuthInfos[AdminName])
	if err != nil || reason == "" {
		return "", err
	}
	certPEM, keyPEM, err := b.authority.issue(leaf{
		subject: pkix.Name{CommonName: AdminName, Organization: []string{adminGroup}},
		usage:   x509.ExtKeyUsageClientAuth,
	}, b.now())
	if err != nil {
		return "", err
	}
	admin := clientcmdapi.NewAuthInfo()
	admin.ClientCertificateData, admin.ClientKeyData = certPEM, keyPEM
	kubeconfig.AuthInfos[AdminName] = admin
	return "client certificate: " + reason, nil
}

// credentialsReason says why the admin needs a new certificate, empty if he does not.
func (b *Bundle) credentialsReason(admin *clientcmdapi.AuthInfo) (string, error) {
	if admin == nil {
		return "there was none", nil
	}
	pair, err := tls.X509KeyPair(admin.ClientCertificateData, admin.ClientKeyData)
	if err != nil {
		return "", fmt.Errorf("the certificate of user %s in %s cannot be used: %w; delete the file to have a new one made",
			AdminName, b.AdminKubeconfig(), err)
	}
	if !b.authority.issued(pair.Leaf) {
		return "the authority has changed", nil
	}
	return dueReason(pair.Leaf, b.now()), nil
}

// refreshContext puts cluster and user together, and says whether that was missing.
func refreshContext(kubeconfig *clientcmdapi.Config) string {
	changed := ""
	if kubeconfig.Contexts[ContextName] == nil {
		context := clientcmdapi.NewContext()
		context.Cluster, context.AuthInfo = ClusterName, AdminName
		kubeconfig.Contexts[ContextName] = context
		changed = "context"
	}
	if kubeconfig.CurrentContext == "" {
		kubeconfig.CurrentContext = ContextName
		changed = "context"
	}
	return changed
}

func nonEmpty(texts ...string) []string {
	var kept []string
	for _, text := range texts {
		if text != "" {
			kept = append(kept, text)
		}
	}
	return kept
}
