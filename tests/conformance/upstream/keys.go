package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// keyFiles are the files that kube-apiserver reads.
type keyFiles struct {
	ca, servingCert, servingKey, serviceAccounts string
}

// writeKeys makes all the keys of a cluster, and the administrator's kubeconfig with the names that gatehouse's has.
func writeKeys(dir, server string) (keyFiles, error) {
	files := keyFiles{
		ca:              filepath.Join(dir, "ca.crt"),
		servingCert:     filepath.Join(dir, "serving.crt"),
		servingKey:      filepath.Join(dir, "serving.key"),
		serviceAccounts: filepath.Join(dir, "service-account.key"),
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, fmt.Errorf("make the CA's key: %w", err)
	}
	ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "upstream"}, caKey)
	if err != nil {
		return files, fmt.Errorf("make the CA: %w", err)
	}
	serving, servingKey, err := sign(ca, caKey, x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return files, fmt.Errorf("make the serving certificate: %w", err)
	}
	admin, adminKey, err := sign(ca, caKey, x509.Certificate{
		Subject:     pkix.Name{CommonName: "kubernetes-admin", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return files, fmt.Errorf("make the administrator's certificate: %w", err)
	}
	accounts, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return files, fmt.Errorf("make the key of service accounts: %w", err)
	}
	accountsKey, err := keyutil.MarshalPrivateKeyToPEM(accounts)
	if err != nil {
		return files, err
	}
	authority := encode(ca.Raw)
	for file, content := range map[string][]byte{
		files.ca: authority, files.servingCert: serving, files.servingKey: servingKey, files.serviceAccounts: accountsKey,
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return files, err
		}
	}
	return files, writeKubeconfig(filepath.Join(dir, "admin.kubeconfig"), server, authority, admin, adminKey)
}

// sign makes a key and a certificate for it that is good for a day. Both are PEM.
func sign(ca *x509.Certificate, caKey crypto.Signer, template x509.Certificate) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, &template, ca, private.Public(), caKey)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyutil.MarshalPrivateKeyToPEM(private)
	return encode(der), key, err
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der})
}

func writeKubeconfig(file, server string, ca, certificate, key []byte) error {
	const name = "upstream"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("write the administrator's kubeconfig: %w", err)
	}
	return nil
}
