package controllers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certificatesclient "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/utils/ptr"
)

// updates keeps what becomes of requests' statuses.
type updates struct {
	certificatesclient.CertificateSigningRequestInterface // only UpdateStatus is called
	statuses                                              []certificatesv1.CertificateSigningRequestStatus
	fail                                                  error
}

func (u *updates) UpdateStatus(
	_ context.Context, request *certificatesv1.CertificateSigningRequest, _ metav1.UpdateOptions,
) (*certificatesv1.CertificateSigningRequest, error) {
	u.statuses = append(u.statuses, request.Status)
	return request, u.fail
}

func approvedRequest(t *testing.T) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "jane"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
		Status: certificatesv1.CertificateSigningRequestStatus{
			Conditions: []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved}},
		},
	}
}

func TestWhatCannotBeSignedNowIsTriedAgainAndChangesNothing(t *testing.T) {
	unable := errors.New("the authority has expired")
	for name, test := range map[string]struct {
		change  func(*certificatesv1.CertificateSigningRequest)
		sign    error
		update  error
		want    string // the error; empty if it is not tried again
		updated int
	}{
		"what is good is signed once": {updated: 1},
		"an authority that cannot sign": {
			sign: unable, want: "sign CertificateSigningRequest jane: the authority has expired",
		},
		"a status that cannot be written": {
			update: unable, want: "update the status of CertificateSigningRequest jane: the authority has expired", updated: 1,
		},
		"a request that cannot be read": {
			change: func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Request = []byte("garbage") },
			want:   "parse CertificateSigningRequest jane: PEM block type must be CERTIFICATE REQUEST",
		},
		"a request that is denied as well": {
			change: func(r *certificatesv1.CertificateSigningRequest) {
				r.Status.Conditions = append(r.Status.Conditions,
					certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateDenied})
			},
		},
		"a request that has failed": {
			change: func(r *certificatesv1.CertificateSigningRequest) {
				r.Status.Conditions = append(r.Status.Conditions,
					certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateFailed})
			},
		},
		"a request to the signer of before": {
			change: func(r *certificatesv1.CertificateSigningRequest) { r.Spec.SignerName = "kubernetes.io/legacy-unknown" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			request := approvedRequest(t)
			if test.change != nil {
				test.change(request)
			}
			written := &updates{fail: test.update}
			signer := &requestSigner{requests: written, config: Certificates{
				MaxDuration: time.Hour,
				Sign: func(*x509.CertificateRequest, []certificatesv1.KeyUsage, time.Duration) ([]byte, error) {
					return []byte("certificate"), test.sign
				},
			}}
			err := signer.handle(t.Context(), request)
			if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if len(written.statuses) != test.updated {
				t.Errorf("wrote %v, want %d statuses", written.statuses, test.updated)
			}
		})
	}
}

func TestCertificatesLastAsLongAsIsAskedForWithinLimits(t *testing.T) {
	signer := &requestSigner{config: Certificates{MaxDuration: 24 * time.Hour}}
	got := make(map[string]time.Duration)
	for name, seconds := range map[string]*int32{
		"unsaid": nil, "too short": ptr.To[int32](1), "negative": ptr.To[int32](-1), "an hour": ptr.To[int32](3600), "too long": ptr.To[int32](1 << 30),
	} {
		got[name] = signer.duration(seconds)
	}
	want := map[string]time.Duration{
		"unsaid": 24 * time.Hour, "too short": 10 * time.Minute, "negative": 10 * time.Minute, "an hour": time.Hour, "too long": 24 * time.Hour,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("durations (-want +got):\n%s", diff)
	}
}
