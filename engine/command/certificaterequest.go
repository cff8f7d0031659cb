package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	certificatesclient "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

const (
	// firstAsk is when the server is asked for the first time whether there is a certificate, soon after the request for those
	// that nobody has to look at; askInterval is how often after that.
	firstAsk    = 200 * time.Millisecond
	askInterval = time.Second
	// askTimeout is how long the server may take for an answer.
	askTimeout = 30 * time.Second
)

// requestCertificate has the request in file signed and saves the certificate.
func (p Program) requestCertificate(ctx context.Context, config *rest.Config, file string, flags certificateFlags) error {
	request, err := readRequest(file)
	if err != nil {
		return err
	}
	if err := checkDestination(flags.saveTo, flags.force); err != nil {
		return err
	}
	wanted, err := wantedObject(request, flags)
	if err != nil {
		return err
	}
	config.Timeout = askTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("cannot use the kubeconfig: %w", err)
	}
	desk := signingDesk{client.CertificatesV1().CertificateSigningRequests(), config.Host}
	object, err := desk.submit(ctx, wanted)
	if err != nil {
		return err
	}
	text, err := desk.await(ctx, object, flags.timeout, func(pending error) {
		fmt.Fprintf(p.Stderr, "asked %s for a certificate with request %s; waiting: %s\n", config.Host, object.Name, pending)
	})
	if err != nil {
		return err
	}
	return p.deliver(text, request, flags)
}

// deliver saves or prints a certificate that is for the request's key.
func (p Program) deliver(text []byte, request certificateRequest, flags certificateFlags) error {
	certificate, err := checkCertificate(text, request, time.Now())
	if err != nil {
		return err
	}
	if flags.saveTo == "" {
		_, err := p.Stdout.Write(text)
		return err
	}
	if err := saveCertificate(flags.saveTo, text, flags.force); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "saved the certificate of %s in %s; it is valid until %s\n",
		certificate.Subject, flags.saveTo, certificate.NotAfter.Format(time.RFC3339))
	return err
}

// wantedObject is the object that asks for what the command line does.
func wantedObject(request certificateRequest, flags certificateFlags) (*certificatesv1.CertificateSigningRequest, error) {
	usages, err := flags.usagesFor()
	if err != nil {
		return nil, err
	}
	object := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: flags.name},
		Spec:       certificatesv1.CertificateSigningRequestSpec{Request: request.pem, SignerName: flags.signer, Usages: usages},
	}
	if flags.expiration != 0 {
		seconds := flags.expiration / time.Second
		if seconds < 1 || seconds > math.MaxInt32 {
			return nil, usageError{fmt.Errorf("--expiration is %s, want a duration from 10m, such as 24h", flags.expiration)}
		}
		object.Spec.ExpirationSeconds = ptr.To(int32(seconds))
	}
	if flags.timeout <= 0 {
		return nil, usageError{fmt.Errorf("--timeout is %s, want a duration such as 5m", flags.timeout)}
	}
	if object.Name == "" {
		object.Name = requestName(request, flags.signer, fmt.Sprint(usages), flags.expiration.String())
	}
	return object, nil
}

// signingDesk is where requests are handed in and asked after.
type signingDesk struct {
	requests certificatesclient.CertificateSigningRequestInterface
	server   string // its address, for errors
}

// submit hands in a request, or finds the one that asked for the same before.
func (d signingDesk) submit(
	ctx context.Context, wanted *certificatesv1.CertificateSigningRequest,
) (*certificatesv1.CertificateSigningRequest, error) {
	object, err := d.requests.Create(ctx, wanted, metav1.CreateOptions{})
	if err == nil {
		return object, nil
	}
	if !isAnswer(err) {
		return nil, fmt.Errorf("cannot reach %s: %w; start the server, or name another with --kubeconfig", d.server, err)
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("cannot ask %s for a certificate: %w", d.server, err)
	}
	if object, err = d.requests.Get(ctx, wanted.Name, metav1.GetOptions{}); err != nil {
		return nil, fmt.Errorf("cannot look at request %s, which is there already: %w", wanted.Name, err)
	}
	if !asksForTheSame(object, wanted) {
		return nil, fmt.Errorf("there is a request %s that asks for something else; choose another name with --name", wanted.Name)
	}
	return object, nil
}

func asksForTheSame(a, b *certificatesv1.CertificateSigningRequest) bool {
	return bytes.Equal(a.Spec.Request, b.Spec.Request) && a.Spec.SignerName == b.Spec.SignerName &&
		slices.Equal(a.Spec.Usages, b.Spec.Usages) && ptr.Equal(a.Spec.ExpirationSeconds, b.Spec.ExpirationSeconds)
}

// await asks after a request until there is a certificate or will be none, for as long as timeout. What stands in the way of
// an answer may pass; what the server answers holds. It tells once what it waits for, unless that is over at once.
func (d signingDesk) await(
	ctx context.Context, object *certificatesv1.CertificateSigningRequest, timeout time.Duration, tell func(pending error),
) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	name := object.Name
	certificate, why := outcome(object)
	for wait, asked := firstAsk, 0; why != nil && errors.As(why, new(pendingError)); wait, asked = askInterval, asked+1 {
		if asked == 2 {
			tell(why)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, fmt.Errorf("no certificate for request %s yet: %w; then run the command again, which goes on from there",
				name, why)
		}
		object, err := d.requests.Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			certificate, why = outcome(object)
		case apierrors.IsNotFound(err):
			why = fmt.Errorf("request %s is gone: somebody deleted it before there was a certificate; "+
				"run the command again to ask anew", name)
		case isAnswer(err):
			why = fmt.Errorf("cannot ask after request %s: %w", name, err)
		case ctx.Err() == nil:
			why = pendingError{fmt.Sprintf("%s cannot be reached: %v", d.server, err)}
		}
	}
	return certificate, why
}

// isAnswer says whether an error is the server's last word, rather than trouble on the way there.
func isAnswer(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError && code != http.StatusTooManyRequests
}

// pendingError says what a request waits for.
type pendingError struct{ text string }

func (e pendingError) Error() string { return e.text }

// outcome is the certificate of a request, or why there is none: a pendingError as long as there may be one.
func outcome(object *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	const again = "; to ask again, delete it with `kubectl delete csr %s`, or choose another name with --name"
	for _, condition := range object.Status.Conditions {
		switch condition.Type {
		case certificatesv1.CertificateDenied:
			return nil, fmt.Errorf("request %s was denied%s"+again, object.Name, because(condition), object.Name)
		case certificatesv1.CertificateFailed:
			return nil, fmt.Errorf("request %s was approved, but signer %s refused it%s"+again,
				object.Name, object.Spec.SignerName, because(condition), object.Name)
		}
	}
	switch {
	case len(object.Status.Certificate) > 0:
		return object.Status.Certificate, nil
	case hasCondition(object, certificatesv1.CertificateApproved):
		return nil, pendingError{fmt.Sprintf("it was approved, but signer %s has not signed it; see that what signs for it runs",
			object.Spec.SignerName)}
	default:
		return nil, pendingError{fmt.Sprintf("it is not approved; have somebody who may run `kubectl certificate approve %s`",
			object.Name)}
	}
}

// because is what a condition tells of its reason.
func because(condition certificatesv1.CertificateSigningRequestCondition) string {
	var texts []string
	for _, text := range []string{condition.Reason, condition.Message} {
		if text != "" {
			texts = append(texts, strings.TrimRight(text, ".\n "))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return " (" + strings.Join(texts, ": ") + ")"
}

func hasCondition(object *certificatesv1.CertificateSigningRequest, of certificatesv1.RequestConditionType) bool {
	return slices.ContainsFunc(object.Status.Conditions, func(condition certificatesv1.CertificateSigningRequestCondition) bool {
		return condition.Type == of
	})
}
