package admission

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/utils/ptr"
)

// only selects the objects of one case.
func only(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"case": name}}
}

// validating makes a webhook about the config maps of a case, with a change to it.
func (w *world) validating(t *testing.T, name string, client registrationv1.WebhookClientConfig, change func(*registrationv1.ValidatingWebhook)) {
	t.Helper()
	hook := registrationv1.ValidatingWebhook{
		Name: name + ".example.org", ClientConfig: client, Rules: everything(), ObjectSelector: only(name),
		SideEffects: ptr.To(registrationv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
	}
	if change != nil {
		change(&hook)
	}
	mustMake(t, w.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create, &registrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Webhooks: []registrationv1.ValidatingWebhook{hook},
	})
}

func (w *world) mutating(t *testing.T, name string, client registrationv1.WebhookClientConfig, change func(*registrationv1.MutatingWebhook)) {
	t.Helper()
	hook := registrationv1.MutatingWebhook{
		Name: name + ".example.org", ClientConfig: client, Rules: everything(), ObjectSelector: only(name),
		SideEffects: ptr.To(registrationv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
	}
	if change != nil {
		change(&hook)
	}
	mustMake(t, w.AdmissionregistrationV1().MutatingWebhookConfigurations().Create, &registrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Webhooks: []registrationv1.MutatingWebhook{hook},
	})
}

// try writes a config map of a case until a webhook that was configured just now has been asked or the write has been refused.
func (w *world) try(t *testing.T, h *hook, path, name string) error {
	t.Helper()
	var err error
	eventually(t, "the webhook is asked", func() bool {
		_, err = w.CoreV1().ConfigMaps("default").Create(t.Context(), of(name), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil || len(h.requests(path)) > 0
	})
	return err
}

// of is a config map of a case.
func of(name string) *corev1.ConfigMap {
	return settings(strings.ReplaceAll(name, " ", "-"), map[string]string{"case": name})
}

// TestAWebhookThatMisbehavesIsAFailure has each way answered as kube-apiserver does: by refusing, or, if the webhook's policy is to
// ignore failures, as if it were not there.
func TestAWebhookThatMisbehavesIsAFailure(t *testing.T) {
	w, h := start(t), startHook(t)
	for name, test := range map[string]struct {
		answer   answer
		want     string
		mutating bool
		// always refused: a patch that does not fit is no failure to call the webhook, so no policy ignores it.
		always bool
	}{
		"hangs": {answer: func(http.ResponseWriter, *http.Request, *admissionv1.AdmissionRequest) { <-h.released },
			want: "context deadline exceeded"},
		"closes": {answer: func(w http.ResponseWriter, r *http.Request, _ *admissionv1.AdmissionRequest) {
			panic(http.ErrAbortHandler)
		}, want: "EOF"},
		"breaks": {answer: func(w http.ResponseWriter, r *http.Request, _ *admissionv1.AdmissionRequest) {
			http.Error(w, "out of order", http.StatusInternalServerError)
		}, want: `an error on the server ("out of order") has prevented the request from succeeding`},
		"garbage": {answer: func(w http.ResponseWriter, _ *http.Request, _ *admissionv1.AdmissionRequest) {
			fmt.Fprint(w, "<html>")
		}, want: "couldn't get version/kind; json parse error"},
		"uid": {answer: respond(func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			return &admissionv1.AdmissionResponse{UID: "another", Allowed: true}
		}), want: `received invalid webhook response: expected response.uid=`},
		"patch": {answer: patching(`[{"op":"remove","path":"/data/none"}]`), mutating: true, always: true,
			want: "remove operation does not apply: doc is missing path"},
		"no-patch": {answer: patching(`{`), mutating: true, want: "unexpected end of JSON input"},
		"schema": {answer: patching(`[{"op":"add","path":"/data","value":[1]}]`), mutating: true, always: true,
			want: "cannot unmarshal array into Go struct field"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, policy := range []registrationv1.FailurePolicyType{registrationv1.Fail, registrationv1.Ignore} {
				as := strings.ToLower(string(policy)) + "-" + name
				path := "/" + as
				h.at(path, test.answer)
				if test.mutating {
					w.mutating(t, as, h.client(path), func(hook *registrationv1.MutatingWebhook) {
						hook.FailurePolicy, hook.TimeoutSeconds = &policy, ptr.To(int32(1))
					})
				} else {
					w.validating(t, as, h.client(path), func(hook *registrationv1.ValidatingWebhook) {
						hook.FailurePolicy, hook.TimeoutSeconds = &policy, ptr.To(int32(1))
					})
				}
				err := w.try(t, h, path, as)
				if policy == registrationv1.Ignore && !test.always {
					if err != nil {
						t.Errorf("with failurePolicy Ignore: %v", err)
					}
					continue
				}
				wantError(t, err, test.want)
				// Nothing was stored, and nothing is stuck.
				_, err = w.CoreV1().ConfigMaps("default").Get(t.Context(), as, metav1.GetOptions{})
				wantError(t, err, "not found")
				mustMake(t, w.CoreV1().ConfigMaps("default").Create, settings("beside-"+as, nil))
			}
		})
	}
}

// TestWebhooksAreAskedAsTheirConfigurationSays goes through what one can say.
func TestWebhooksAreAskedAsTheirConfigurationSays(t *testing.T) {
	w, h := start(t), startHook(t)
	maps := w.CoreV1().ConfigMaps("default")
	deny := respond(func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "not today", Code: http.StatusTeapot}}
	})

	t.Run("a denial has the webhook's words and code", func(t *testing.T) {
		h.at("/deny", deny)
		w.validating(t, "deny", h.client("/deny"), nil)
		err := w.try(t, h, "/deny", "deny")
		wantError(t, err, `admission webhook "deny.example.org" denied the request: not today`)
		if status, ok := err.(interface{ Status() metav1.Status }); !ok || status.Status().Code != http.StatusTeapot {
			t.Errorf("the code of %v is not the webhook's", err)
		}
	})
	t.Run("a warning comes through", func(t *testing.T) {
		h.at("/warn", respond(func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{"mind the gap"}, AuditAnnotations: map[string]string{"gap": "minded"}}
		}))
		w.validating(t, "warn", h.client("/warn"), nil)
		if err := w.try(t, h, "/warn", "warn"); err != nil {
			t.Fatal(err)
		}
		if texts := w.warnings.take(); !slices.Contains(texts, "mind the gap") {
			t.Errorf("warnings are %q", texts)
		}
	})
	t.Run("a condition is looked at first", func(t *testing.T) {
		h.at("/condition", deny)
		w.validating(t, "condition", h.client("/condition"), func(hook *registrationv1.ValidatingWebhook) {
			hook.MatchConditions = []registrationv1.MatchCondition{{Name: "big", Expression: `object.data.size == "big"`}}
		})
		small, big := of("condition"), of("condition")
		small.Data, big.Data = map[string]string{"size": "small"}, map[string]string{"size": "big"}
		small.Name = "small"
		eventually(t, "big ones are denied", func() bool {
			_, err := maps.Create(t.Context(), big, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err != nil
		})
		mustMake(t, maps.Create, small)
	})
	t.Run("a namespace is selected", func(t *testing.T) {
		h.at("/namespace", deny)
		chosen := w.namespace(t, "chosen", map[string]string{"chosen": "yes"})
		w.validating(t, "namespace", h.client("/namespace"), func(hook *registrationv1.ValidatingWebhook) {
			hook.ObjectSelector = nil
			hook.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"chosen": "yes"}}
		})
		eventually(t, "the chosen one's writes are denied", func() bool {
			_, err := w.CoreV1().ConfigMaps(chosen).Create(t.Context(), settings("a", nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err != nil
		})
		mustMake(t, maps.Create, settings("elsewhere", nil))
	})
	t.Run("what has side effects is not asked in a dry run", func(t *testing.T) {
		h.at("/effects", respond(allow))
		w.validating(t, "effects", h.client("/effects"), func(hook *registrationv1.ValidatingWebhook) {
			hook.SideEffects = ptr.To(registrationv1.SideEffectClassNoneOnDryRun)
		})
		if err := w.try(t, h, "/effects", "effects"); err != nil {
			t.Fatal(err)
		}
		made := of("effects")
		mustMake(t, maps.Create, made)
		asked := h.requests("/effects")
		if len(asked) != 1 || ptr.Deref(asked[0].DryRun, true) {
			t.Errorf("asked %d times, want once and not dry", len(asked))
		}
	})
	t.Run("deletions show what is deleted", func(t *testing.T) {
		h.at("/delete", respond(allow))
		made := of("delete")
		mustMake(t, maps.Create, made)
		w.validating(t, "delete", h.client("/delete"), nil)
		if err := w.try(t, h, "/delete", "delete"); err != nil && !strings.Contains(err.Error(), "already exists") {
			t.Fatal(err)
		}
		h.requests("/delete")
		if err := maps.Delete(t.Context(), "delete", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		asked := h.requests("/delete")
		if len(asked) != 1 || asked[0].Operation != admissionv1.Delete || len(asked[0].OldObject.Raw) == 0 || len(asked[0].Object.Raw) > 0 {
			t.Errorf("asked %v, want of one deletion with the old object", asked)
		}
	})
	t.Run("it is asked again when others changed the object, if it says so", func(t *testing.T) {
		name := "again"
		h.at("/first", respond(allow))
		h.at("/second", patching(`[{"op":"add","path":"/data","value":{"changed":"yes"}}]`))
		for _, one := range []struct {
			name   string
			policy registrationv1.ReinvocationPolicyType
		}{{"first", registrationv1.IfNeededReinvocationPolicy}, {"second", registrationv1.NeverReinvocationPolicy}} {
			w.mutating(t, one.name, h.client("/"+one.name), func(hook *registrationv1.MutatingWebhook) {
				hook.ObjectSelector, hook.ReinvocationPolicy = only(name), &one.policy
			})
		}
		eventually(t, "the second webhook changes the object", func() bool {
			h.requests("/first")
			h.requests("/second")
			made, err := maps.Create(t.Context(), of(name), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err == nil && made.Data["changed"] == "yes"
		})
		if first, second := len(h.requests("/first")), len(h.requests("/second")); first != 2 || second != 1 {
			t.Errorf("the first was asked %d times and the second %d, want 2 and 1", first, second)
		}
	})
	t.Run("no webhook keeps webhooks from being removed", func(t *testing.T) {
		h.at("/all", deny)
		w.validating(t, "all", h.client("/all"), func(hook *registrationv1.ValidatingWebhook) {
			hook.ObjectSelector = nil
			hook.Rules[0].APIGroups, hook.Rules[0].Resources = []string{"*"}, []string{"*"}
		})
		eventually(t, "everything is denied", func() bool {
			_, err := maps.Create(t.Context(), settings("denied", nil), metav1.CreateOptions{})
			return err != nil
		})
		if err := w.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), "all", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "nothing is", func() bool {
			_, err := maps.Create(t.Context(), settings("denied", nil), metav1.CreateOptions{})
			return err == nil
		})
	})
}

// TestWebhooksAreFoundByTheirService goes to the endpoints of a Service, since nothing here routes cluster IPs.
func TestWebhooksAreFoundByTheirService(t *testing.T) {
	// Endpoints may not be loopback addresses.
	address, err := utilnet.ChooseHostInterface()
	if err != nil {
		t.Skipf("this machine has no address but loopback: %v", err)
	}
	w, h := start(t, "--services-routing", "endpoints"), startHookAt(t, address.String(), "example.hooks.svc")
	h.at("/service", respond(func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "found"}}
	}))
	ns := w.namespace(t, "hooks", nil)
	service := mustMake(t, w.CoreV1().Services(ns).Create, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "example"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "https", Port: 8443}}},
	})
	listens := h.Listener.Addr().(*net.TCPAddr)
	client := registrationv1.WebhookClientConfig{CABundle: h.ca, Service: &registrationv1.ServiceReference{
		Namespace: ns, Name: service.Name, Path: ptr.To("/service"), Port: ptr.To(int32(8443)),
	}}
	w.validating(t, "service", client, nil)
	eventually(t, "a Service without endpoints is a failure", func() bool {
		_, err := w.CoreV1().ConfigMaps("default").Create(t.Context(), of("service"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), `no endpoints available for service "example"`)
	})
	mustMake(t, w.DiscoveryV1().EndpointSlices(ns).Create, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "example", Labels: map[string]string{discoveryv1.LabelServiceName: service.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(int32(listens.Port))}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{listens.IP.String()}}},
	})
	_, err = w.CoreV1().ConfigMaps("default").Create(t.Context(), of("service"), metav1.CreateOptions{})
	wantError(t, err, `denied the request: found`)
}

// TestAServerStartedAgainAsksItsWebhooksFromTheFirstWriteOn has one that denies; were it not asked, the write would pass.
func TestAServerStartedAgainAsksItsWebhooksFromTheFirstWriteOn(t *testing.T) {
	w, h := start(t), startHook(t)
	h.at("/deny", respond(func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "no"}}
	}))
	w.validating(t, "deny", h.client("/deny"), nil)
	wantError(t, w.try(t, h, "/deny", "deny"), "denied the request: no")
	for range 3 {
		w.Restart()
		_, err := w.CoreV1().ConfigMaps("default").Create(t.Context(), of("deny"), metav1.CreateOptions{})
		wantError(t, err, "denied the request: no")
	}
}
