package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/utils/ptr"
)

const (
	clientSigner  = certificatesv1.KubeAPIServerClientSignerName
	nodeSigner    = certificatesv1.KubeAPIServerClientKubeletSignerName
	servingSigner = certificatesv1.KubeletServingSignerName
)

// applicant is somebody with a key who wants a certificate.
type applicant struct {
	key     *ecdsa.PrivateKey
	request []byte // PEM
}

func newApplicant(t *testing.T, template x509.CertificateRequest) applicant {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return applicant{key, pem.EncodeToMemory(&pem.Block{Type: cert.CertificateRequestBlockType, Bytes: der})}
}

// certificates is a server and its administrator's view of the requests for certificates.
type certificates struct {
	*running
	*kubernetes.Clientset
}

func serveCertificates(t *testing.T) certificates {
	t.Helper()
	r := serve(t, testConfig(t, t.TempDir()))
	return certificates{r, r.client(t)}
}

func (c certificates) create(
	name, signer string, request []byte, usages ...certificatesv1.KeyUsage,
) (*certificatesv1.CertificateSigningRequest, error) {
	return c.CertificatesV1().CertificateSigningRequests().Create(context.Background(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: request, SignerName: signer, Usages: usages, ExpirationSeconds: ptr.To[int32](3600),
		},
	}, metav1.CreateOptions{})
}

// decide adds a condition as whoever may approve and deny does.
func (c certificates) decide(
	request *certificatesv1.CertificateSigningRequest, condition certificatesv1.CertificateSigningRequestCondition,
) error {
	condition.Status = corev1.ConditionTrue
	request.Status.Conditions = append(request.Status.Conditions, condition)
	_, err := c.CertificatesV1().CertificateSigningRequests().
		UpdateApproval(context.Background(), request.Name, request, metav1.UpdateOptions{})
	return err
}

func (c certificates) approve(request *certificatesv1.CertificateSigningRequest) error {
	return c.decide(request, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved})
}

// settled waits until a request has a certificate or has failed.
func (c certificates) settled(t *testing.T, name string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	var request *certificatesv1.CertificateSigningRequest
	err := wait.PollUntilContextCancel(t.Context(), 5*time.Millisecond, true, func(ctx context.Context) (_ bool, err error) {
		request, err = c.CertificatesV1().CertificateSigningRequests().Get(ctx, name, metav1.GetOptions{})
		return err == nil && (len(request.Status.Certificate) > 0 || condition(request, certificatesv1.CertificateFailed) != nil), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func condition(
	request *certificatesv1.CertificateSigningRequest, of certificatesv1.RequestConditionType,
) *certificatesv1.CertificateSigningRequestCondition {
	for i, condition := range request.Status.Conditions {
		if condition.Type == of {
			return &request.Status.Conditions[i]
		}
	}
	return nil
}

// ask makes a request that its user may not make, with a certificate, and returns the refusal.
func (c certificates) ask(t *testing.T, certificate []byte, key *ecdsa.PrivateKey) error {
	t.Helper()
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(c.Admin)
	config.CertData, config.KeyData = certificate, keyPEM
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().ServiceAccounts(metav1.NamespaceSystem).List(t.Context(), metav1.ListOptions{})
	return err
}

func TestApprovedRequestsAreSignedByTheSignerTheyName(t *testing.T) {
	c := serveCertificates(t)
	node := pkix.Name{CommonName: "system:node:edge-1", Organization: []string{"system:nodes"}}
	for _, test := range []struct {
		name, signer string
		template     x509.CertificateRequest
		usages       []certificatesv1.KeyUsage
		usage        x509.KeyUsage
		extended     x509.ExtKeyUsage
		approved     string // by whom, if not by the test
	}{
		{
			name: "a user's", signer: clientSigner,
			template: x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane", Organization: []string{"dev", "ops"}}},
			usages:   []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
			extended: x509.ExtKeyUsageClientAuth,
		},
		{
			name: "a kubelet's, which is approved by itself", signer: nodeSigner,
			template: x509.CertificateRequest{Subject: node},
			usages:   []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
			usage:    x509.KeyUsageDigitalSignature, extended: x509.ExtKeyUsageClientAuth,
			approved: "Auto approving kubelet client certificate after SubjectAccessReview.",
		},
		{
			name: "a kubelet's to serve with", signer: servingSigner,
			template: x509.CertificateRequest{Subject: node, DNSNames: []string{"edge-1"}, IPAddresses: []net.IP{{192, 0, 2, 1}}},
			usages: []certificatesv1.KeyUsage{
				certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageServerAuth,
			},
			usage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, extended: x509.ExtKeyUsageServerAuth,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := strings.ReplaceAll(test.signer, "/", ".")
			applicant := newApplicant(t, test.template)
			request, err := c.create(name, test.signer, applicant.request, test.usages...)
			if err != nil {
				t.Fatal(err)
			}
			if test.approved == "" {
				if err := c.approve(request); err != nil {
					t.Fatal(err)
				}
			}
			request = c.settled(t, name)
			if approval := condition(request, certificatesv1.CertificateApproved); approval == nil || approval.Message != test.approved {
				t.Errorf("approval is %v, want one that says %q", approval, test.approved)
			}
			chain, err := cert.ParseCertsPEM(request.Status.Certificate)
			if err != nil || len(chain) != 1 {
				t.Fatalf("%d certificates: %v", len(chain), err)
			}
			leaf := chain[0]
			if leaf.KeyUsage != test.usage || !cmp.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{test.extended}) {
				t.Errorf("usages %b and %v, want %b and %v", leaf.KeyUsage, leaf.ExtKeyUsage, test.usage, test.extended)
			}
			if got := leaf.NotAfter.Sub(leaf.NotBefore); got != time.Hour+5*time.Minute {
				t.Errorf("lasts %s, want the hour that was asked for and five minutes for others' clocks", got)
			}
			if !cmp.Equal(leaf.Subject.Organization, test.template.Subject.Organization) {
				t.Errorf("groups are %v, want %v", leaf.Subject.Organization, test.template.Subject.Organization)
			}
			err = c.ask(t, request.Status.Certificate, applicant.key)
			if test.extended == x509.ExtKeyUsageServerAuth {
				if !apierrors.IsUnauthorized(err) {
					t.Errorf("asking with a server's certificate: %v, want 401", err)
				}
				return
			}
			who := `User "` + test.template.Subject.CommonName + `" cannot list resource`
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), who) {
				t.Errorf("asking with the certificate: %v, want 403 for %s", err, who)
			}
		})
	}
}

func TestApprovedRequestsThatBreakTheirSignersRulesFailForGood(t *testing.T) {
	c := serveCertificates(t)
	node := pkix.Name{CommonName: "system:node:edge-1", Organization: []string{"system:nodes"}}
	client := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	server := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
	for name, test := range map[string]struct {
		signer   string
		template x509.CertificateRequest
		usages   []certificatesv1.KeyUsage
		message  string
	}{
		"user-that-wants-to-serve": {clientSigner, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}}, server,
			"invalid usage for client certificate: server auth"},
		"user-that-wants-to-sign": {clientSigner, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}},
			[]certificatesv1.KeyUsage{certificatesv1.UsageClientAuth, certificatesv1.UsageCertSign},
			"invalid usage for client certificate: cert sign"},
		"user-that-wants-nothing-a-client-does": {clientSigner, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}},
			[]certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature},
			"missing required usage for client certificate: client auth"},
		"kubelet-of-no-organisation": {nodeSigner,
			x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:edge-1"}}, client,
			"subject organization is not system:nodes"},
		"kubelet-of-another-organisation-besides": {nodeSigner,
			x509.CertificateRequest{Subject: pkix.Name{
				CommonName: "system:node:edge-1", Organization: []string{"system:nodes", "system:masters"},
			}}, client, "subject organization is not system:nodes"},
		"kubelet-that-is-no-node": {nodeSigner,
			x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane", Organization: []string{"system:nodes"}}}, client,
			"subject common name does not begin with system:node:"},
		"kubelet-with-a-dns-name": {nodeSigner, x509.CertificateRequest{Subject: node, DNSNames: []string{"edge-1"}}, client,
			"DNS subjectAltNames are not allowed"},
		"kubelet-with-an-address": {nodeSigner, x509.CertificateRequest{Subject: node, IPAddresses: []net.IP{{192, 0, 2, 1}}}, client,
			"IP subjectAltNames are not allowed"},
		"kubelet-with-an-email-address": {nodeSigner, x509.CertificateRequest{Subject: node, EmailAddresses: []string{"a@b.c"}}, client,
			"Email subjectAltNames are not allowed"},
		"kubelet-with-a-uri": {nodeSigner, x509.CertificateRequest{Subject: node, URIs: []*url.URL{{Scheme: "spiffe", Host: "a"}}}, client,
			"URI subjectAltNames are not allowed"},
		"kubelet-that-wants-to-serve-too": {nodeSigner, x509.CertificateRequest{Subject: node},
			append(client, certificatesv1.UsageServerAuth), "usages did not match [client auth digital signature key encipherment]"},
		"serving-kubelet-without-a-name": {servingSigner, x509.CertificateRequest{Subject: node}, server,
			"DNS or IP subjectAltName is required"},
		"serving-kubelet-that-wants-in": {servingSigner, x509.CertificateRequest{Subject: node, DNSNames: []string{"edge-1"}}, client,
			"usages did not match [digital signature key encipherment server auth]"},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := c.create(name, test.signer, newApplicant(t, test.template).request, test.usages...)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.approve(request); err != nil {
				t.Fatal(err)
			}
			failed := condition(c.settled(t, name), certificatesv1.CertificateFailed)
			if failed == nil || failed.Status != corev1.ConditionTrue ||
				failed.Reason != "SignerValidationFailure" || failed.Message != test.message {
				t.Errorf("failed condition is %v, want one that says %q", failed, test.message)
			}
		})
	}
}

func TestRequestsThatMakeNoSenseAreNotTakenIn(t *testing.T) {
	c := serveCertificates(t)
	good := newApplicant(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}}).request
	block, _ := pem.Decode(good)
	forged := append([]byte(nil), block.Bytes...)
	forged[len(forged)-1] ^= 1
	masters := pkix.Name{CommonName: "jane", Organization: []string{"system:masters"}}
	for name, test := range map[string]struct {
		signer  string
		request []byte
		usages  []certificatesv1.KeyUsage
		want    string
	}{
		"garbage": {clientSigner, []byte("hello"), nil, "spec.request: Invalid value: "},
		"a certificate instead of a request": {clientSigner,
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}), nil, "PEM block type must be CERTIFICATE REQUEST"},
		"half a request": {clientSigner,
			pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:len(block.Bytes)/2]}), nil, "spec.request: Invalid value: "},
		"a request that another key signed": {clientSigner,
			pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: forged}), nil, "spec.request: Invalid value: "},
		"nothing": {clientSigner, nil, nil, "spec.request: Invalid value: "},
		"a signer without a domain": {"mine", good, nil,
			"spec.signerName: Invalid value: \"mine\": must be a fully qualified domain and path"},
		"the signer of before": {"kubernetes.io/legacy-unknown", good, nil,
			"the legacy signerName is not allowed via this API version"},
		"a usage that there is not": {clientSigner, good, []certificatesv1.KeyUsage{"everything"},
			"spec.usages[0]: Unsupported value: \"everything\""},
		"the group that may do it all": {clientSigner, newApplicant(t, x509.CertificateRequest{Subject: masters}).request, nil,
			"use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"},
		"more than a request's body can hold": {clientSigner, make([]byte, 4<<20), nil, "Request entity too large: limit is 3145728"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.usages == nil {
				test.usages = []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth}
			}
			_, err := c.create("nonsense", test.signer, test.request, test.usages...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
}

func TestHugeRequestsAreSignedAndAuthoritiesAreNotMade(t *testing.T) {
	c := serveCertificates(t)
	constraints, err := asn1.Marshal(struct{ IsCA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	template := x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "jane"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: constraints}},
	}
	for range 5000 {
		template.DNSNames = append(template.DNSNames, strings.Repeat("x", 60)+".example.org")
	}
	applicant := newApplicant(t, template)
	request, err := c.create("huge", clientSigner, applicant.request, certificatesv1.UsageClientAuth)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.approve(request); err != nil {
		t.Fatal(err)
	}
	chain, err := cert.ParseCertsPEM(c.settled(t, "huge").Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if chain[0].IsCA || len(chain[0].DNSNames) != 5000 {
		t.Errorf("authority: %t, %d names", chain[0].IsCA, len(chain[0].DNSNames))
	}
}

func TestOnlyWhatIsApprovedAndOursIsSigned(t *testing.T) {
	c := serveCertificates(t)
	applicant := newApplicant(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}})
	others, err := c.create("others", "example.org/mesh", applicant.request, certificatesv1.UsageClientAuth)
	if err != nil {
		t.Fatal(err)
	}
	denied, err := c.create("denied", clientSigner, applicant.request, certificatesv1.UsageClientAuth)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.create("pending", clientSigner, applicant.request, certificatesv1.UsageClientAuth); err != nil {
		t.Fatal(err)
	}
	if err := c.approve(others); err != nil {
		t.Fatal(err)
	}
	if err := c.decide(denied, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateDenied}); err != nil {
		t.Fatal(err)
	}
	if err := c.approve(denied); !apierrors.IsConflict(err) {
		t.Errorf("approving what was denied since it was read: %v, want a conflict", err)
	}
	// One worker takes them in order: when this one is signed, it has looked at those before.
	last, err := c.create("last", clientSigner, applicant.request, certificatesv1.UsageClientAuth)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.approve(last); err != nil {
		t.Fatal(err)
	}
	c.settled(t, "last")
	for _, name := range []string{"others", "denied", "pending"} {
		request, err := c.CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(request.Status.Certificate) > 0 || condition(request, certificatesv1.CertificateFailed) != nil {
			t.Errorf("%s was dealt with: %v", name, request.Status)
		}
	}
}

// as is the view of somebody who has, by RBAC, the rights in rules and no others.
func (c certificates) as(t *testing.T, name string, groups []string, rules ...rbacv1.PolicyRule) certificates {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "test-" + name}, Rules: rules}
	if _, err := c.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := c.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(c.Admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: groups}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return certificates{c.running, client}
}

func mayDo(resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{certificatesv1.GroupName}, Resources: []string{resource}, Verbs: verbs}
}

func TestKubeletsCertificatesAreApprovedForThoseWhoMayHaveThem(t *testing.T) {
	const requests = "certificatesigningrequests"
	c := serveCertificates(t)
	node := newApplicant(t, x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:edge-1", Organization: []string{"system:nodes"}},
	})
	usages := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	joins := c.as(t, "joins", nil, mayDo(requests, "create", "get"), mayDo(requests+"/nodeclient", "create"))
	watches := c.as(t, "watches", nil, mayDo(requests, "create", "get"), mayDo(requests+"/selfnodeclient", "create"))
	renews := c.as(t, "system:node:edge-1", []string{"system:nodes"},
		mayDo(requests, "create", "get"), mayDo(requests+"/selfnodeclient", "create"))

	if _, err := watches.create("not-its-own", nodeSigner, node.request, usages...); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		by      certificates
		message string
	}{
		"joining":  {joins, "Auto approving kubelet client certificate after SubjectAccessReview."},
		"renewing": {renews, "Auto approving self kubelet client certificate after SubjectAccessReview."},
	} {
		if _, err := test.by.create(name, nodeSigner, node.request, usages...); err != nil {
			t.Fatal(err)
		}
		approved := condition(test.by.settled(t, name), certificatesv1.CertificateApproved)
		if approved == nil || approved.Message != test.message || approved.Reason != "AutoApproved" {
			t.Errorf("%s: approval is %v, want one that says %q", name, approved, test.message)
		}
	}
	// The approver took it first.
	pending, err := c.CertificatesV1().CertificateSigningRequests().Get(t.Context(), "not-its-own", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pending.Status.Conditions) > 0 {
		t.Errorf("a request for another's certificate was decided: %v", pending.Status.Conditions)
	}
}

func TestWhoApprovesMustBeAllowedToForTheSigner(t *testing.T) {
	const requests = "certificatesigningrequests"
	c := serveCertificates(t)
	applicant := newApplicant(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}})
	request, err := c.create("jane", clientSigner, applicant.request, certificatesv1.UsageClientAuth)
	if err != nil {
		t.Fatal(err)
	}
	signers := mayDo("signers", "approve")
	signers.ResourceNames = []string{"example.org/mesh"}
	others := c.as(t, "others", nil, mayDo(requests, "get"), mayDo(requests+"/approval", "update"), signers)
	const refused = `user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"`
	if err := others.approve(request.DeepCopy()); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), refused) {
		t.Errorf("approving for another signer: %v, want 403: %s", err, refused)
	}
	signers.ResourceNames = []string{"kubernetes.io/*"}
	ours := c.as(t, "ours", nil, mayDo(requests, "get"), mayDo(requests+"/approval", "update"), signers)
	if err := ours.approve(request.DeepCopy()); err != nil {
		t.Errorf("approving for a signer of the domain: %v", err)
	}
	if signed := c.settled(t, "jane"); len(signed.Status.Certificate) == 0 {
		t.Errorf("no certificate: %v", signed.Status)
	}
}

func TestOldRequestsAreCleanedUp(t *testing.T) {
	config := testConfig(t, t.TempDir())
	first := serve(t, config)
	c := certificates{first, first.client(t)}
	applicant := newApplicant(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}})
	for name, ago := range map[string]time.Duration{"old": 2 * time.Hour, "new": time.Minute} {
		request, err := c.create(name, clientSigner, applicant.request, certificatesv1.UsageClientAuth)
		if err != nil {
			t.Fatal(err)
		}
		err = c.decide(request, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateDenied, LastUpdateTime: metav1.NewTime(time.Now().Add(-ago)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	first.Stop()

	second := serve(t, config)
	requests := second.client(t).CertificatesV1().CertificateSigningRequests()
	err := wait.PollUntilContextCancel(t.Context(), 5*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := requests.Get(ctx, "old", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := requests.Get(t.Context(), "new", metav1.GetOptions{}); err != nil {
		t.Errorf("a request that was denied a minute ago is gone: %v", err)
	}
}
