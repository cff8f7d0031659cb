package admission

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/kubernetes/pkg/apis/certificates"
)

// signerRights lets Jane do one thing with one signer, and records what is asked.
type signerRights struct {
	verb, signer string
	asked        []string
}

func (r *signerRights) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	r.asked = append(r.asked, a.GetVerb()+" "+a.GetResource()+" "+a.GetName())
	if a.GetUser().GetName() == "jane" && a.GetVerb() == r.verb && a.GetResource() == "signers" && a.GetName() == r.signer {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func request(change func(*certificates.CertificateSigningRequest)) *certificates.CertificateSigningRequest {
	r := &certificates.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "edge"},
		Spec:       certificates.CertificateSigningRequestSpec{SignerName: "example.org/mesh"},
	}
	if change != nil {
		change(r)
	}
	return r
}

func TestSignersAreActedForOnlyByThoseWhoMay(t *testing.T) {
	approve := request(func(r *certificates.CertificateSigningRequest) {
		r.Status.Conditions = []certificates.CertificateSigningRequestCondition{{Type: certificates.CertificateApproved}}
	})
	sign := request(func(r *certificates.CertificateSigningRequest) { r.Status.Certificate = []byte("certificate") })
	bundle := &certificates.ClusterTrustBundle{
		Spec: certificates.ClusterTrustBundleSpec{SignerName: "example.org/mesh"},
	}
	const forbidden = `.certificates.k8s.io "edge" is forbidden: user not permitted to `
	for name, test := range map[string]struct {
		verb        string
		resource    string
		subresource string
		operation   admission.Operation
		old, object runtime.Object
		denied      string
	}{
		"approving": {"approve", "certificatesigningrequests", "approval", admission.Update, request(nil), approve,
			"certificatesigningrequests" + forbidden + `approve requests with signerName "example.org/mesh"`},
		"signing": {"sign", "certificatesigningrequests", "status", admission.Update, request(nil), sign,
			"certificatesigningrequests" + forbidden + `sign requests with signerName "example.org/mesh"`},
		"vouching": {"attest", "clustertrustbundles", "", admission.Create, nil, bundle,
			"clustertrustbundles" + forbidden + `attest for signerName "example.org/mesh"`},
	} {
		for _, may := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				rights := &signerRights{verb: test.verb, signer: "example.org/mesh"}
				if !may {
					rights.verb = "look at"
				}
				members, err := newCertificateMembers(Config{Authorizer: rights})
				if err != nil {
					t.Fatal(err)
				}
				attributes := admission.NewAttributesRecord(test.object, test.old, schema.GroupVersionKind{}, "", "edge",
					schema.GroupVersionResource{Group: certificates.GroupName, Version: "v1", Resource: test.resource}, test.subresource,
					test.operation, nil, false, &user.DefaultInfo{Name: "jane"})
				got := ""
				err = admission.NewChainHandler(members...).Validate(t.Context(), attributes, nil)
				if err != nil {
					got = err.Error()
				}
				want := test.denied
				if may {
					want = ""
				}
				if got != want {
					t.Errorf("answer is %q, want %q", got, want)
				}
				// A signer is asked for by name and, unless that helps, as any of its domain's.
				asked := []string{test.verb + " signers example.org/mesh", test.verb + " signers example.org/*"}
				if may {
					asked = asked[:1]
				}
				if diff := cmp.Diff(asked, rights.asked); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestMembersWithoutAnAuthorizerAreNotSetUp(t *testing.T) {
	members, err := newCertificateMembers(Config{})
	const want = "set up admission member CertificateApproval: CertificateApproval requires an authorizer"
	if err == nil || err.Error() != want {
		t.Errorf("members %v, error %v, want %s", members, err, want)
	}
}
