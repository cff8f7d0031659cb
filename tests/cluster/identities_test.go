package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

// accounts know whom to trust, and Secrets for them are filled.
func accounts(t *testing.T, c *cluster) {
	ns := c.namespace(t, "accounts")
	authority, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, c.core("configmaps", ns), named("kube-root-ca.crt", func(told *corev1.ConfigMap) error {
		return has(told.Data["ca.crt"] == string(authority), "pods are told of another authority: %s", told.Data["ca.crt"])
	}))

	c.kubectl(t, ns, "create", "serviceaccount", "robot")
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "robot", Annotations: map[string]string{corev1.ServiceAccountNameKey: "robot"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}
	if _, err := c.client.CoreV1().Secrets(ns).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var token string
	await(t, c.core("secrets", ns), named("robot", func(secret *corev1.Secret) error {
		token = string(secret.Data[corev1.ServiceAccountTokenKey])
		return has(token != "" && bytes.Equal(secret.Data[corev1.ServiceAccountRootCAKey], authority), "it is not filled")
	}))
	if user, err := c.whoIs(t, token); err != nil || user != "system:serviceaccount:accounts:robot" {
		t.Errorf("the token is of %q: %v", user, err)
	}

	c.kubectl(t, ns, "delete", "serviceaccount", "robot")
	await(t, c.core("secrets", ns), none[*corev1.Secret])
	eventually(t, func() error {
		user, err := c.whoIs(t, token)
		return has(apierrors.IsUnauthorized(err), "the token of an account that is gone is of %q: %v", user, err)
	})
}

// whoIs asks the server who has a token.
func (c *cluster) whoIs(t *testing.T, token string) (string, error) {
	t.Helper()
	config := rest.AnonymousClientConfig(c.server.ClientConfig())
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	return review.Status.UserInfo.Username, err
}

// controllersOwnAccounts looks at who the controllers are.
func controllersOwnAccounts(t *testing.T, c *cluster) {
	await(t, c.core("serviceaccounts", metav1.NamespaceSystem), func(all []*corev1.ServiceAccount) error {
		missing := []string{
			"cronjob-controller", "daemon-set-controller", "deployment-controller", "disruption-controller", "endpointslice-controller",
			"generic-garbage-collector", "horizontal-pod-autoscaler", "job-controller", "namespace-controller", "node-controller",
			"persistent-volume-binder", "pod-garbage-collector", "replicaset-controller", "resourcequota-controller",
			"statefulset-controller", "ttl-after-finished-controller",
		}
		for _, account := range all {
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == account.Name })
		}
		return has(len(missing) == 0, "there are no accounts of %v", missing)
	})
}

// certificate is signed once it is approved.
func certificate(t *testing.T, c *cluster) {
	signer, key := newKey(t)
	request, err := cert.MakeCSR(signer, &pkix.Name{CommonName: "jane"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	requests := c.client.CertificatesV1().CertificateSigningRequests()
	if _, err := requests.Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "jane"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: request, SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "", "certificate", "approve", "jane")
	var issued []byte
	await(t, collection(c.client.CertificatesV1().RESTClient(), "certificatesigningrequests", ""),
		named("jane", func(request *certificatesv1.CertificateSigningRequest) error {
			issued = request.Status.Certificate
			return has(len(issued) > 0, "it has no certificate: %v", request.Status.Conditions)
		}))
	config := rest.AnonymousClientConfig(c.server.ClientConfig())
	config.CertData, config.KeyData = issued, key
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username != "jane" {
		t.Errorf("the certificate is of %q: %v", review.Status.UserInfo.Username, err)
	}
}

// aggregation lets a role grow by others.
func aggregation(t *testing.T, c *cluster) {
	rule := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{"example.org"}, Resources: []string{"lamps"}}
	part := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "lamps", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
		Rules:      []rbacv1.PolicyRule{rule},
	}
	if _, err := c.client.RbacV1().ClusterRoles().Create(t.Context(), part, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, collection(c.client.RbacV1().RESTClient(), "clusterroles", ""), named("view", func(view *rbacv1.ClusterRole) error {
		same := func(other rbacv1.PolicyRule) bool { return other.String() == rule.String() }
		return has(slices.ContainsFunc(view.Rules, same), "view has not grown")
	}))
}

// joining is what a machine needs that joins with a bootstrap token: signed news of the cluster, for as long as the token lasts.
func joining(t *testing.T, c *cluster) {
	c.kubectl(t, metav1.NamespacePublic, "create", "configmap", "cluster-info", "--from-file=kubeconfig="+c.server.Kubeconfig())
	for id, lasts := range map[string]time.Duration{"abcdef": time.Hour, "expire": time.Second} {
		c.kubectl(t, metav1.NamespaceSystem, "create", "secret", "generic", "bootstrap-token-"+id, "--type=bootstrap.kubernetes.io/token",
			"--from-literal=token-id="+id, "--from-literal=token-secret=0123456789abcdef", "--from-literal=usage-bootstrap-signing=true",
			"--from-literal=expiration="+time.Now().Add(lasts).UTC().Format(time.RFC3339))
	}
	await(t, c.core("configmaps", metav1.NamespacePublic), named("cluster-info", func(info *corev1.ConfigMap) error {
		return has(info.Data["jws-kubeconfig-abcdef"] != "", "it is not signed")
	}))
	await(t, c.core("secrets", metav1.NamespaceSystem), func(all []*corev1.Secret) error {
		for _, secret := range all {
			if secret.Name == "bootstrap-token-expire" {
				return fmt.Errorf("%s is still there", secret.Name)
			}
		}
		return nil
	})
}

// delegation has a component let in whom the server knows and grants what it asks for.
func delegation(t *testing.T, c *cluster) {
	ns := c.namespace(t, "delegation")
	for _, name := range []string{"monitor", "stranger"} {
		c.kubectl(t, ns, "create", "serviceaccount", name)
	}
	c.kubectl(t, "", "create", "clusterrole", "monitors", "--verb=get", "--non-resource-url=/metrics")
	c.kubectl(t, "", "create", "clusterrolebinding", "monitors", "--clusterrole=monitors", "--serviceaccount=delegation:monitor")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // its certificate is its own
	for token, want := range map[string]int{
		c.token(t, ns, "monitor"):  http.StatusOK,
		c.token(t, ns, "stranger"): http.StatusForbidden,
		"nonsense":                 http.StatusUnauthorized,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:"+c.managerPort+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != want {
			t.Errorf("the controller manager answers %s, want %d: %v", response.Status, want, err)
		}
		if want == http.StatusOK && !strings.Contains(string(body), "workqueue_adds_total") {
			t.Error("it answers with other things than metrics")
		}
	}
}
