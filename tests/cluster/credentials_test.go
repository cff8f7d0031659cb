package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
)

// certified writes the kubeconfig of a component that has a certificate of the cluster's authority, as kubeadm does.
func (c *cluster) certified(t *testing.T, user string) string {
	t.Helper()
	authority, err := tls.LoadX509KeyPair(c.pki("ca.crt"), c.pki("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, keyPEM := newKey(t)
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: user},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, authority.Leaf, &key.PublicKey, authority.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return c.kubeconfig(t, user, &api.AuthInfo{
		ClientCertificateData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		ClientKeyData:         keyPEM,
	})
}

func newKey(t *testing.T) (key *ecdsa.PrivateKey, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key); err != nil {
		t.Fatal(err)
	}
	return key, keyPEM
}

// accounted writes the kubeconfig of a component that has the token of a service account, as those in pods do.
func (c *cluster) accounted(t *testing.T, namespace, account string) string {
	t.Helper()
	return c.kubeconfig(t, account, &api.AuthInfo{Token: c.token(t, namespace, account)})
}

// token is one of a service account.
func (c *cluster) token(t *testing.T, namespace, account string) string {
	t.Helper()
	token, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

func (c *cluster) kubeconfig(t *testing.T, user string, credentials *api.AuthInfo) string {
	t.Helper()
	config := api.NewConfig()
	config.Clusters["cluster"] = &api.Cluster{Server: "https://" + c.server.Process().Address(), CertificateAuthority: c.pki("ca.crt")}
	config.AuthInfos[user] = credentials
	config.Contexts["cluster"] = &api.Context{Cluster: "cluster", AuthInfo: user}
	config.CurrentContext = "cluster"
	file := filepath.Join(c.dir, user+".kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// pki is a file of the server's keys and certificates.
func (c *cluster) pki(name string) string { return filepath.Join(c.server.DataDir(), "pki", name) }
