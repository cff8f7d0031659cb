package admission

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"
)

// hook is a real HTTPS server that webhook configurations can name, with an answer of its own at each path.
type hook struct {
	*httptest.Server
	// ca is what webhook configurations trust.
	ca []byte

	mu      sync.Mutex // guards all below
	answers map[string]answer
	asked   map[string][]*admissionv1.AdmissionRequest
	// released ends those that hang.
	released chan struct{}
}

// answer writes a webhook's answer to a request.
type answer func(w http.ResponseWriter, r *http.Request, asked *admissionv1.AdmissionRequest)

func startHook(t *testing.T) *hook { return startHookAt(t, "127.0.0.1", "localhost") }

// startHookAt runs a hook at an address of this machine, with a certificate for a name, that lets in clients with one of certificates,
// or everybody if there are none.
func startHookAt(t *testing.T, address, name string, clients ...*x509.Certificate) *hook {
	t.Helper()
	chain, key, err := cert.GenerateSelfSignedCertKey(name, []net.IP{net.ParseIP(address)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{ca: chain, answers: map[string]answer{}, asked: map[string][]*admissionv1.AdmissionRequest{}, released: make(chan struct{})}
	h.Server = httptest.NewUnstartedServer(h)
	h.Listener.Close()
	h.Listener, h.TLS = listener, &tls.Config{Certificates: []tls.Certificate{certificate}}
	if len(clients) > 0 {
		h.TLS.ClientAuth, h.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	}
	for _, client := range clients {
		h.TLS.ClientCAs.AddCert(client)
	}
	h.Config.ErrorLog = log.New(t.Output(), "", 0)
	h.StartTLS()
	t.Cleanup(func() {
		close(h.released)
		h.CloseClientConnections()
		h.Close()
	})
	return h
}

// at has requests at a path answered.
func (h *hook) at(path string, a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[path] = a
}

// ServeHTTP implements http.Handler.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, fmt.Sprintf("no AdmissionReview: %v", err), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	h.asked[r.URL.Path] = append(h.asked[r.URL.Path], review.Request)
	answer := h.answers[r.URL.Path]
	h.mu.Unlock()
	if answer == nil {
		http.NotFound(w, r)
		return
	}
	answer(w, r, review.Request)
}

// requests are those that came at a path since this was last called.
func (h *hook) requests(path string) []*admissionv1.AdmissionRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.asked[path]
	delete(h.asked, path)
	return asked
}

// client says where a path of the hook is.
func (h *hook) client(path string) registrationv1.WebhookClientConfig {
	return registrationv1.WebhookClientConfig{URL: ptr.To(h.URL + path), CABundle: h.ca}
}

// respond answers with a review of the response that make makes.
func respond(makes func(asked *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) answer {
	return func(w http.ResponseWriter, _ *http.Request, asked *admissionv1.AdmissionRequest) {
		response := makes(asked)
		if response.UID == "" {
			response.UID = asked.UID
		}
		review := admissionv1.AdmissionReview{Response: response}
		review.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review) // the server may have gone
	}
}

func allow(asked *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// patching allows, with a JSON patch.
func patching(patch string) answer {
	return respond(func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(patch), PatchType: ptr.To(admissionv1.PatchTypeJSONPatch)}
	})
}

// everything are rules about all that is done to config maps.
func everything() []registrationv1.RuleWithOperations {
	return []registrationv1.RuleWithOperations{{
		Operations: []registrationv1.OperationType{registrationv1.OperationAll},
		Rule:       registrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
}
