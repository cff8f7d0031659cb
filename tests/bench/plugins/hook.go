package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

// hookHost is the name by which kube-apiserver knows the service called hook in the namespace default.
const hookHost = "hook.default.svc"

// hookAddress is what the webhook's process first says: where it listens, and the certificate to trust, in PEM.
type hookAddress struct {
	Address     string
	Certificate []byte
}

// hookUsage is what it says whenever it is asked: what it has used of the processor, and how many connections it was made.
type hookUsage struct {
	CPU         time.Duration
	Connections int64
}

// serveHook is the webhook's process: it serves HTTPS on loopback, and its usage for each line of in, until in ends.
func serveHook(in io.Reader, out io.Writer) error {
	chain, key, err := cert.GenerateSelfSignedCertKey(hookHost, nil, nil)
	if err != nil {
		return fmt.Errorf("make the webhook's certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return fmt.Errorf("load the webhook's certificate: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the webhook: %w", err)
	}
	var connections atomic.Int64
	server := &http.Server{
		Handler:   handler(),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		},
		ErrorLog: log.New(os.Stderr, "webhook: ", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	err = tellUsage(hookAddress{listener.Addr().String(), chain}, &connections, in, out)
	return errors.Join(err, server.Close(), ignoreClosed(<-ended))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// tellUsage says where the webhook is, and then what it has used whenever it is asked for, until in ends.
func tellUsage(address hookAddress, connections *atomic.Int64, in io.Reader, out io.Writer) error {
	say, asked := json.NewEncoder(out), json.NewDecoder(in)
	if err := say.Encode(address); err != nil {
		return err
	}
	for {
		var question string
		if err := asked.Decode(&question); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := say.Encode(hookUsage{processTime(), connections.Load()}); err != nil {
			return err
		}
	}
}

// The ways of the webhook to do the job of the plugins.
const (
	// leanPath decodes no more of the Pod than it needs, with encoding/json.
	leanPath = "/lean"
	// usualPath decodes review and Pod with the types and the codec of Kubernetes, as the libraries do that nearly all webhooks in
	// Go are made with.
	usualPath = "/usual"
)

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(leanPath, answer(decodeLean, labelsLean))
	mux.HandleFunc(usualPath, answer(decodeUsual, labelsUsual))
	return mux
}

// answer does the job of the plugins.
func answer(decode func([]byte, *admissionv1.AdmissionReview) error, labelsOf func([]byte) (map[string]string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var review admissionv1.AdmissionReview
		if err := decode(body, &review); err != nil || review.Request == nil {
			http.Error(w, fmt.Sprintf("no AdmissionReview: %v", err), http.StatusBadRequest)
			return
		}
		if review.Response, err = judge(review.Request, labelsOf); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(&review); err != nil {
			log.Printf("webhook: answer: %v", err) // the caller sees a broken answer, and fails
		}
	}
}

func decodeLean(body []byte, review *admissionv1.AdmissionReview) error {
	return json.Unmarshal(body, review)
}

func labelsLean(object []byte) (map[string]string, error) {
	var pod metav1.PartialObjectMetadata
	err := json.Unmarshal(object, &pod)
	return pod.Labels, err
}

// hookTypes decodes what the usual webhook knows.
var hookTypes = sync.OnceValue(func() runtime.Decoder {
	scheme := runtime.NewScheme()
	utilruntime.Must(admissionv1.AddToScheme(scheme))
	utilruntime.Must(corev1.AddToScheme(scheme))
	return serializer.NewCodecFactory(scheme).UniversalDeserializer()
})

func decodeUsual(body []byte, review *admissionv1.AdmissionReview) error {
	return runtime.DecodeInto(hookTypes(), body, review)
}

func labelsUsual(object []byte) (map[string]string, error) {
	var pod corev1.Pod
	err := runtime.DecodeInto(hookTypes(), object, &pod)
	return pod.Labels, err
}

// judge denies a Pod without an owner, and marks one that has one, unless it is marked.
func judge(request *admissionv1.AdmissionRequest, labelsOf func([]byte) (map[string]string, error)) (*admissionv1.AdmissionResponse, error) {
	response := &admissionv1.AdmissionResponse{UID: request.UID, Allowed: true}
	if request.Kind.Kind != "Pod" {
		return response, nil
	}
	labels, err := labelsOf(request.Object.Raw)
	if err != nil {
		return nil, fmt.Errorf("decode the Pod: %w", err)
	}
	if _, owned := labels["owner"]; !owned {
		response.Allowed = false
		response.Result = &metav1.Status{Message: "set the label owner"}
		return response, nil
	}
	if labels[markLabel] == markValue {
		return response, nil
	}
	patch, err := json.Marshal([]map[string]string{
		{"op": "add", "path": "/metadata/labels/gatehouse.dev~1admitted-by", "value": markValue},
	})
	if err != nil {
		return nil, err
	}
	kind := admissionv1.PatchTypeJSONPatch
	response.Patch, response.PatchType = patch, &kind
	return response, nil
}

// hook is the webhook's process, as its caller has it. One goroutine may use it.
type hook struct {
	hookAddress
	process *exec.Cmd
	ask     *json.Encoder
	told    *json.Decoder
	stdin   io.Closer
}

// startHook runs this program once more, as the webhook. It ends by stop, or with ctx or this process.
func startHook(ctx context.Context) (*hook, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the benchmark's own program, to run it as the webhook: %w", err)
	}
	process := exec.CommandContext(ctx, self, "-hook")
	process.Stderr = os.Stderr
	stdin, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("start the webhook: %w", err)
	}
	h := &hook{process: process, ask: json.NewEncoder(stdin), told: json.NewDecoder(stdout), stdin: stdin}
	if err := h.told.Decode(&h.hookAddress); err != nil {
		h.stop()
		return nil, fmt.Errorf("learn where the webhook is: %w", err)
	}
	return h, nil
}

func (h *hook) usage() (hookUsage, error) {
	if err := h.ask.Encode("usage"); err != nil {
		return hookUsage{}, fmt.Errorf("ask the webhook what it has used: %w", err)
	}
	var usage hookUsage
	if err := h.told.Decode(&usage); err != nil {
		return hookUsage{}, fmt.Errorf("learn what the webhook has used: %w", err)
	}
	return usage, nil
}

func (h *hook) stop() {
	_ = h.stdin.Close()  // ends it
	_ = h.process.Wait() // what it has to say of its end stands on standard error
}

// ResolveEndpoint says where a Service is, as upstream's dispatcher asks it.
func (h *hook) ResolveEndpoint(string, string, int32) (*url.URL, error) {
	return &url.URL{Scheme: "https", Host: h.Address}, nil
}

// caller makes upstream's MutatingAdmissionWebhook with this webhook, at a path, as its only one. The configuration is put where an
// informer would have put it, so that no server is needed to serve it.
func (h *hook) caller(path string) (*mutating.Plugin, error) {
	caller, err := mutating.NewMutatingWebhook(nil)
	if err != nil {
		return nil, fmt.Errorf("make upstream's caller of webhooks: %w", err)
	}
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "https://never.asked.invalid"})
	if err != nil {
		return nil, fmt.Errorf("make a client for upstream's caller of webhooks: %w", err)
	}
	static := informers.NewSharedInformerFactory(client, 0)
	configurations := static.Admissionregistration().V1().MutatingWebhookConfigurations().Informer().GetIndexer()
	if err := configurations.Add(h.configuration(path)); err != nil {
		return nil, fmt.Errorf("configure the webhook: %w", err)
	}
	caller.SetServiceResolver(h)
	caller.SetExternalKubeClientSet(client)
	caller.SetExternalKubeInformerFactory(static)
	if err := caller.ValidateInitialization(); err != nil {
		return nil, fmt.Errorf("set up upstream's caller of webhooks: %w", err)
	}
	caller.SetReadyFunc(func() bool { return true })
	return caller, nil
}

// configuration registers the webhook for the creation of Pods, with what upstream's defaults would add.
func (h *hook) configuration(path string) *registrationv1.MutatingWebhookConfiguration {
	return &registrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "mark"},
		Webhooks: []registrationv1.MutatingWebhook{{
			Name: "mark.gatehouse.dev",
			ClientConfig: registrationv1.WebhookClientConfig{
				Service:  &registrationv1.ServiceReference{Namespace: "default", Name: "hook", Path: &path, Port: ptr(int32(443))},
				CABundle: h.Certificate,
			},
			Rules: []registrationv1.RuleWithOperations{{
				Operations: []registrationv1.OperationType{registrationv1.Create},
				Rule: registrationv1.Rule{
					APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: ptr(registrationv1.AllScopes),
				},
			}},
			FailurePolicy:           ptr(registrationv1.Fail),
			MatchPolicy:             ptr(registrationv1.Equivalent),
			NamespaceSelector:       &metav1.LabelSelector{},
			ObjectSelector:          &metav1.LabelSelector{},
			SideEffects:             ptr(registrationv1.SideEffectClassNone),
			TimeoutSeconds:          ptr(int32(10)),
			AdmissionReviewVersions: []string{"v1"},
			ReinvocationPolicy:      ptr(registrationv1.NeverReinvocationPolicy),
		}},
	}
}

func ptr[T any](value T) *T { return &value }
