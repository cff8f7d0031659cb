package controllers

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	certificatesclient "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/certificate/csr"
	certificatesapi "k8s.io/kubernetes/pkg/apis/certificates"
	"k8s.io/kubernetes/pkg/controller/certificates"
	"k8s.io/kubernetes/pkg/controller/certificates/approver"
	"k8s.io/kubernetes/pkg/controller/certificates/cleaner"
)

const (
	// certificateWorkers is how many requests for certificates each loop handles at a time.
	certificateWorkers = 1
	// minCertificateDuration is the shortest that a certificate is issued for (upstream's).
	minCertificateDuration = 10 * time.Minute
	// refusedReason is the reason of the condition that a request has failed, which its signer refused (upstream's).
	refusedReason = "SignerValidationFailure"
)

// Certificates says how requests for certificates are granted.
type Certificates struct {
	// Sign issues a certificate, as PEM, for a request that was found good. It must be safe for concurrent use.
	Sign func(request *x509.CertificateRequest, usages []certificatesv1.KeyUsage, lifetime time.Duration) ([]byte, error)
	// MaxDuration is how long certificates last whose requests want no less.
	MaxDuration time.Duration
}

// buildApproving approves requests of kubelets that may ask for what they do.
func buildApproving(ctx context.Context, t tools) (func(context.Context), error) {
	approving := approver.NewCSRApprovingController(ctx, t.client, t.Informers.Certificates().V1().CertificateSigningRequests())
	return func(ctx context.Context) { approving.Run(ctx, certificateWorkers) }, nil
}

// buildSigning signs requests that have been approved.
func buildSigning(ctx context.Context, t tools) (func(context.Context), error) {
	signer := &requestSigner{requests: t.client.CertificatesV1().CertificateSigningRequests(), config: t.Certificates}
	signing := certificates.NewCertificateController(ctx, "csrsigning", t.client,
		t.Informers.Certificates().V1().CertificateSigningRequests(), signer.handle)
	return func(ctx context.Context) { signing.Run(ctx, certificateWorkers) }, nil
}

// buildCleaning deletes old requests.
func buildCleaning(_ context.Context, t tools) (func(context.Context), error) {
	informer := t.Informers.Certificates().V1().CertificateSigningRequests()
	cleaning := cleaner.NewCSRCleanerController(t.client.CertificatesV1().CertificateSigningRequests(), informer)
	synced := informer.Informer().HasSynced
	return func(ctx context.Context) {
		// It looks at once, and then after an hour: what it would not see at first would stay for as long.
		if cache.WaitForCacheSync(ctx.Done(), synced) {
			cleaning.Run(ctx, certificateWorkers)
		}
	}, nil
}

// requestSigner signs what was approved and is addressed to one of the signers of this server. Upstream's cannot be used
// because each of them keeps a copy of the authority's key, read from files of which it accepts fewer forms than we do. What
// they refuse, in which words, and how long certificates last is theirs.
type requestSigner struct {
	requests certificatesclient.CertificateSigningRequestInterface
	config   Certificates
}

// handle is called with a request of its own, which has no certificate yet. An error makes it be called again later.
func (s *requestSigner) handle(ctx context.Context, request *certificatesv1.CertificateSigningRequest) error {
	validate := validation(request.Spec.SignerName)
	if validate == nil || !certificates.IsCertificateRequestApproved(request) ||
		certificates.HasTrueCondition(request, certificatesv1.CertificateFailed) {
		return nil
	}
	parsed, err := certificatesapi.ParseCSR(request.Spec.Request)
	if err != nil {
		return fmt.Errorf("parse CertificateSigningRequest %s: %w", request.Name, err)
	}
	if err := validate(parsed, request.Spec.Usages); err != nil {
		return s.refuse(ctx, request, err)
	}
	request.Status.Certificate, err = s.config.Sign(parsed, request.Spec.Usages, s.duration(request.Spec.ExpirationSeconds))
	if err != nil {
		return fmt.Errorf("sign CertificateSigningRequest %s: %w", request.Name, err)
	}
	return s.update(ctx, request)
}

// refuse marks the request as failed for good.
func (s *requestSigner) refuse(ctx context.Context, request *certificatesv1.CertificateSigningRequest, why error) error {
	request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type:           certificatesv1.CertificateFailed,
		Status:         corev1.ConditionTrue,
		Reason:         refusedReason,
		Message:        why.Error(),
		LastUpdateTime: metav1.Now(),
	})
	return s.update(ctx, request)
}

func (s *requestSigner) update(ctx context.Context, request *certificatesv1.CertificateSigningRequest) error {
	if _, err := s.requests.UpdateStatus(ctx, request, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update the status of CertificateSigningRequest %s: %w", request.Name, err)
	}
	return nil
}

// duration is how long a certificate lasts for which so many seconds are wanted, nil if it does not matter.
func (s *requestSigner) duration(wanted *int32) time.Duration {
	if wanted == nil {
		return s.config.MaxDuration
	}
	return min(max(csr.ExpirationSecondsToDuration(*wanted), minCertificateDuration), s.config.MaxDuration)
}

// validation is what the signer of the name demands of a request, nil if that is no signer of this server. There is none for
// kubernetes.io/legacy-unknown: requests to it have not been possible since certificates.k8s.io/v1beta1 went.
func validation(signerName string) func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error {
	switch signerName {
	case certificatesv1.KubeAPIServerClientSignerName:
		return func(_ *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
			return validateClientUsages(usages)
		}
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return func(request *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
			return certificatesapi.ValidateKubeletClientCSR(request, usageNames(usages))
		}
	case certificatesv1.KubeletServingSignerName:
		return func(request *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
			return certificatesapi.ValidateKubeletServingCSR(request, usageNames(usages))
		}
	default:
		return nil
	}
}

// validateClientUsages is upstream's validAPIServerClientUsages, of pkg/controller/certificates/signer, which it keeps to itself.
func validateClientUsages(usages []certificatesv1.KeyUsage) error {
	client := false
	for _, usage := range usages {
		switch usage {
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment:
		case certificatesv1.UsageClientAuth:
			client = true
		default:
			return fmt.Errorf("invalid usage for client certificate: %s", usage)
		}
	}
	if !client {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}

func usageNames(usages []certificatesv1.KeyUsage) sets.String {
	set := sets.NewString()
	for _, usage := range usages {
		set.Insert(string(usage))
	}
	return set
}
