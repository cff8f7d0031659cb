package engine

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// TestTheAuditEventOfAWriteHasWhatTheThirdGateSaysOfIt asks webhooks, a policy and a plugin, and looks at the event that an audit log
// would be given.
func TestTheAuditEventOfAWriteHasWhatTheThirdGateSaysOfIt(t *testing.T) {
	config := testConfig(t, t.TempDir())
	put(t, config.Plugins.Dir, "script", "judge", `settings: {apiVersion: admission.k8s.io/v1, kind: AdmissionReview, response: `+
		`{uid: "`+strings.Repeat("0", 36)+`", allowed: true, auditAnnotations: {why: because}}}`+"\n"+
		`admission: {phases: [validate], rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]}`)
	server := serve(t, config)
	makeWebhooks(t, server.client(t))
	makePolicy(t, server.client(t))

	want := map[string]string{
		"judge/why": "because",
		"mutation.webhook.admission.k8s.io/round_0_index_0": `{"configuration":"hooks","webhook":"patch.example.org","mutated":true}`,
		"patch.webhook.admission.k8s.io/round_0_index_0": `{"configuration":"hooks","webhook":"patch.example.org",` +
			`"patch":[{"op":"add","path":"/data","value":{"a":"1"}}],"patchType":"JSONPatch"}`,
		"failed-open.validating.webhook.admission.k8s.io/round_0_index_0": "gone.example.org",
		"note.example.org/seen": "patched",
		"policy/entries":        "1",
		"validation.policy.admission.k8s.io/validation_failure": `[{"message":"too many","policy":"policy","binding":"policy",` +
			`"expressionIndex":0,"validationActions":["Audit"]}]`,
	}
	// Webhooks and policies are asked soon after they are made.
	var said map[string]string
	err := wait.PollUntilContextCancel(t.Context(), 5e6, true, func(context.Context) (bool, error) {
		said = server.audited(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"a-"}}`)
		return len(said) >= len(want), nil
	})
	if err != nil {
		t.Errorf("wait for as many annotations: %v", err)
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

// audited makes a ConfigMap and returns the annotations of the audit event, but for those of the second gate.
func (r *running) audited(t *testing.T, object string) map[string]string {
	t.Helper()
	ctx := audit.WithAuditContext(t.Context())
	event := audit.AuditContextFrom(ctx)
	if err := event.Init(audit.RequestAuditConfig{Level: auditinternal.LevelRequest}, nil); err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/api/v1/namespaces/default/configmaps", strings.NewReader(object)).WithContext(ctx)
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	r.loopbackHandler(r.parts.api).ServeHTTP(answer, request)
	if answer.Code != http.StatusCreated {
		t.Fatalf("status %d\n%s", answer.Code, answer.Body)
	}
	said := event.GetEventAnnotations()
	maps.DeleteFunc(said, func(key, _ string) bool { return strings.HasPrefix(key, "authorization.") })
	return said
}

// makeWebhooks makes one that patches, one that annotates what is patched, and one that is not there and need not be.
func makeWebhooks(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil || r.URL.Path == "/gone" {
			http.NotFound(w, r)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		switch {
		case r.URL.Path == "/patch":
			review.Response.Patch = []byte(`[{"op":"add","path":"/data","value":{"a":"1"}}]`)
			review.Response.PatchType = ptr.To(admissionv1.PatchTypeJSONPatch)
		case strings.Contains(string(review.Request.Object.Raw), `"data":{"a":"1"}`):
			review.Response.AuditAnnotations = map[string]string{"seen": "patched"}
		}
		_ = json.NewEncoder(w).Encode(review) // the server may have gone
	}))
	t.Cleanup(hook.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})
	at := func(path string) registrationv1.WebhookClientConfig {
		return registrationv1.WebhookClientConfig{URL: ptr.To(hook.URL + path), CABundle: ca}
	}
	none, versions, rules := ptr.To(registrationv1.SideEffectClassNone), []string{"v1"}, []registrationv1.RuleWithOperations{aboutConfigMaps()}
	registrations := client.AdmissionregistrationV1()
	if _, err := registrations.MutatingWebhookConfigurations().Create(t.Context(), &registrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "hooks"},
		Webhooks: []registrationv1.MutatingWebhook{{
			Name: "patch.example.org", ClientConfig: at("/patch"), Rules: rules, SideEffects: none, AdmissionReviewVersions: versions,
		}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := registrations.ValidatingWebhookConfigurations().Create(t.Context(), &registrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "hooks"},
		Webhooks: []registrationv1.ValidatingWebhook{{
			Name: "gone.example.org", ClientConfig: at("/gone"), Rules: rules, SideEffects: none, AdmissionReviewVersions: versions,
			FailurePolicy: ptr.To(registrationv1.Ignore),
		}, {
			Name: "note.example.org", ClientConfig: at("/note"), Rules: rules, SideEffects: none, AdmissionReviewVersions: versions,
		}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// makePolicy makes one that only annotates.
func makePolicy(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	registrations := client.AdmissionregistrationV1()
	if _, err := registrations.ValidatingAdmissionPolicies().Create(t.Context(), &registrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "policy"},
		Spec: registrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &registrationv1.MatchResources{
				ResourceRules: []registrationv1.NamedRuleWithOperations{{RuleWithOperations: aboutConfigMaps()}},
			},
			Validations:      []registrationv1.Validation{{Expression: `!has(object.data)`, Message: "too many"}},
			AuditAnnotations: []registrationv1.AuditAnnotation{{Key: "entries", ValueExpression: `has(object.data) ? string(size(object.data)) : "none"`}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := registrations.ValidatingAdmissionPolicyBindings().Create(t.Context(), &registrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "policy"},
		Spec: registrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: "policy", ValidationActions: []registrationv1.ValidationAction{registrationv1.Audit},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func aboutConfigMaps() registrationv1.RuleWithOperations {
	return registrationv1.RuleWithOperations{
		Operations: []registrationv1.OperationType{registrationv1.Create},
		Rule:       registrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}
}
