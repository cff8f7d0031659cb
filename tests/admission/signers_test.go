package admission

import (
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// ourSigner is whose certificates and bundles are written here.
const ourSigner = "example.org/ours"

// TestOnlyWhoMayActForASignerWritesWhatIsIts is about certificates and bundles of trust. Everybody here may write both, as far as
// authorization is concerned.
func TestOnlyWhoMayActForASignerWritesWhatIsIts(t *testing.T) {
	w := start(t)
	identity, _ := clientIdentity(t)
	const noSigning, noAttesting = `user not permitted to sign requests with signerName "example.org/ours"`,
		`user not permitted to attest for signerName "example.org/ours"`
	writes := map[string]struct {
		write func(t *testing.T, as *kubernetes.Clientset, name string) error
		want  string
	}{
		"sign": {func(t *testing.T, as *kubernetes.Clientset, name string) error {
			return updateRequest(t, w, as, name, func(s *certificatesv1.CertificateSigningRequestStatus) {
				s.Certificate = identity.ClientCertificateData
			})
		}, noSigning},
		"fail": {func(t *testing.T, as *kubernetes.Clientset, name string) error {
			return updateRequest(t, w, as, name, func(s *certificatesv1.CertificateSigningRequestStatus) {
				s.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
					Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "Refused",
				}}
			})
		}, noSigning},
		"attest": {func(t *testing.T, as *kubernetes.Clientset, name string) error {
			_, err := as.CertificatesV1().ClusterTrustBundles().Create(t.Context(), bundle(name, identity.ClientCertificateData), metav1.CreateOptions{})
			return err
		}, noAttesting},
		"attest again": {func(t *testing.T, as *kubernetes.Clientset, name string) error {
			made := mustMake(t, w.CertificatesV1().ClusterTrustBundles().Create, bundle("again-"+name, identity.ClientCertificateData))
			another, _ := clientIdentity(t)
			made.Spec.TrustBundle = string(another.ClientCertificateData)
			_, err := as.CertificatesV1().ClusterTrustBundles().Update(t.Context(), made, metav1.UpdateOptions{})
			return err
		}, noAttesting},
	}
	for user, test := range map[string]struct {
		signer string // whom the user may sign and attest for
		may    bool
	}{
		"ours":   {ourSigner, true},
		"domain": {"example.org/*", true},
		"theirs": {"example.org/theirs", false},
		"writer": {"", false},
	} {
		mustMake(t, w.RbacV1().ClusterRoles().Create, actsFor(user, test.signer))
		mustMake(t, w.RbacV1().ClusterRoleBindings().Create, binding(user, user))
		as := w.as(t, user)
		for name, write := range writes {
			t.Run(user+"/"+name, func(t *testing.T) {
				switch err := write.write(t, as, user+"-"+strings.ReplaceAll(name, " ", "-")); {
				case !test.may:
					wantError(t, err, write.want)
				case err != nil:
					t.Error(err)
				}
			})
		}
		t.Run(user+"/change nothing of it", func(t *testing.T) {
			if err := updateRequest(t, w, as, user+"-none", func(*certificatesv1.CertificateSigningRequestStatus) {}); err != nil {
				t.Error(err)
			}
		})
	}
}

// actsFor is a role for writing certificates and bundles, and for acting for a signer if there is one.
func actsFor(name, signer string) *rbacv1.ClusterRole {
	role := role(name, "update", certificatesv1.GroupName, "certificatesigningrequests/status")
	role.Rules = append(role.Rules, rbacv1.PolicyRule{
		Verbs: []string{"create", "update"}, APIGroups: []string{certificatesv1.GroupName}, Resources: []string{"clustertrustbundles"},
	})
	if signer != "" {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{
			Verbs: []string{"sign", "attest"}, APIGroups: []string{certificatesv1.GroupName}, Resources: []string{"signers"},
			ResourceNames: []string{signer},
		})
	}
	return role
}

// updateRequest has somebody change the status of a request to our signer.
func updateRequest(t *testing.T, w *world, as *kubernetes.Clientset, name string, change func(*certificatesv1.CertificateSigningRequestStatus)) error {
	t.Helper()
	request := signingRequest(t, name, "team")
	request.Spec.SignerName = ourSigner
	made := mustMake(t, w.CertificatesV1().CertificateSigningRequests().Create, request)
	change(&made.Status)
	_, err := as.CertificatesV1().CertificateSigningRequests().UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
	return err
}

// bundle is one of our signer's.
func bundle(name string, certificates []byte) *certificatesv1.ClusterTrustBundle {
	return &certificatesv1.ClusterTrustBundle{
		ObjectMeta: metav1.ObjectMeta{Name: "example.org:ours:" + name},
		Spec:       certificatesv1.ClusterTrustBundleSpec{SignerName: ourSigner, TrustBundle: string(certificates)},
	}
}
