package admission

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"gatehouse/tests/harness"
)

// scripted is a WebAssembly plugin that always gives the same answer to what it is asked in one phase.
type scripted struct {
	phase string
	// seen is what the object must be like for the plugin to be asked, in CEL.
	seen     string
	response admissionv1.AdmissionResponse
}

// marks allows what is seen, and puts its name on it.
func marks(name, seen string) scripted {
	return changes(`[{"op":"add","path":"/metadata/annotations/`+name+`","value":"seen"}]`, seen)
}

// changes allows what is seen, with a JSON patch.
func changes(patch, seen string) scripted {
	return scripted{"mutate", seen, admissionv1.AdmissionResponse{
		Allowed: true, Patch: []byte(patch), PatchType: ptr.To(admissionv1.PatchTypeJSONPatch),
	}}
}

// denies denies what is seen in the end.
func denies(seen string) scripted {
	return scripted{"validate", seen, admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "no"}}}
}

// folder is a folder of such plugins about pods.
func folder(t *testing.T, plugins map[string]scripted) string {
	t.Helper()
	guest, err := harness.Guest(t.Context(), "script")
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, plugin := range plugins {
		plugin.response.UID = types.UID(strings.Repeat("0", 36)) // which the guest puts the request's in place of
		review := admissionv1.AdmissionReview{Response: &plugin.response}
		review.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
		content, err := yaml.Marshal(map[string]any{
			"settings": review,
			"admission": map[string]any{
				"phases":          []any{plugin.phase},
				"rules":           []any{creation("pods")},
				"matchConditions": []any{map[string]any{"name": "seen", "expression": plugin.seen}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string][]byte{name + ".wasm": wasm, name + ".yaml": content} {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// creation is a rule about what is created of a core resource.
func creation(resource string) registrationv1.RuleWithOperations {
	rule := everything()[0]
	rule.Operations, rule.Resources = []registrationv1.OperationType{registrationv1.Create}, []string{resource}
	return rule
}

// What plugins find out about a pod.
const (
	hasToken    = `has(object.spec.volumes) && object.spec.volumes.exists(v, v.name.startsWith("kube-api-access"))`
	isHooked    = `has(object.metadata.labels) && "hooked" in object.metadata.labels`
	hasPriority = `has(object.spec.priority) && object.spec.priority == 1000`
)

// TestPluginsTakeTheirPlacesAmongTheOtherMembers has plugins before and after others in both phases, who tell what they see there.
func TestPluginsTakeTheirPlacesAmongTheOtherMembers(t *testing.T) {
	w, h := start(t, "--plugins", folder(t, map[string]scripted{
		"classed": changes(`[{"op":"add","path":"/spec/priorityClassName","value":"high"}]`, `object.metadata.name == "classed"`),
		"early":   marks("early", hasToken+" || "+hasPriority+" || "+isHooked),
		"token":   marks("token", hasToken+" && !("+hasPriority+" || "+isHooked+")"),
		"valued":  marks("valued", hasToken+" && "+hasPriority+" && !("+isHooked+")"),
		"hooked":  marks("hooked", isHooked),
		"whole":   denies(`object.metadata.name == "whole" && ` + hasToken + " && " + isHooked + ` && "hooked" in object.metadata.annotations`),
		"before":  denies(`object.metadata.name in ["both", "before"]`),
		"behind":  denies(`object.metadata.name in ["refused", "behind"]`),
		"last":    denies(`object.metadata.name in ["counted", "last"]`),
	}), "--admission-order", "plugin:classed,plugin:early,plugin:whole,ServiceAccount,plugin:token,Priority,plugin:valued,"+
		"MutatingAdmissionWebhook,plugin:hooked,plugin:before,ValidatingAdmissionPolicy,plugin:behind,ResourceQuota,plugin:last"), startHook(t)
	free, full := w.namespace(t, "free", nil), w.namespace(t, "full", nil)
	w.quota(t, full, amounts("pods", "0"))
	mustMake(t, w.SchedulingV1().PriorityClasses().Create, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 1000})
	h.at("/label", patching(`[{"op":"add","path":"/metadata/labels/hooked","value":"yes"}]`))
	w.mutating(t, "label", h.client("/label"), func(hook *registrationv1.MutatingWebhook) {
		hook.ReinvocationPolicy = ptr.To(registrationv1.IfNeededReinvocationPolicy)
		hook.ObjectSelector, hook.Rules = only("places"), []registrationv1.RuleWithOperations{creation("pods")}
	})
	w.policy(t, "places", registrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &registrationv1.MatchResources{
			ObjectSelector: only("places"), ResourceRules: []registrationv1.NamedRuleWithOperations{{RuleWithOperations: creation("pods")}},
		},
		Validations: []registrationv1.Validation{{
			Expression: `!(object.metadata.name in ["judged", "both", "refused"] && "hooked" in object.metadata.annotations)`, Message: "hooked",
		}},
	}, nil)
	// write tries what making a pod comes to.
	write := func(ns, name string) (*corev1.Pod, error) {
		return w.CoreV1().Pods(ns).Create(t.Context(), pod(name, func(p *corev1.Pod) {
			p.Labels, p.Annotations = map[string]string{"case": "places"}, map[string]string{"written": "by the client"}
		}), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	comesToRefuse(t, "denied request: hooked", func() error {
		_, err := write(free, "judged")
		return err
	})

	t.Run("each sees what those before it changed, and nothing of what those after it do", func(t *testing.T) {
		for name, want := range map[string]string{
			"plain":   "hooked token written",
			"classed": "hooked token valued written", // by a plugin before Priority, which makes a number of it
		} {
			made, err := write(free, name)
			if err != nil {
				t.Fatal(err)
			}
			if got := marked(made); got != want {
				t.Errorf("the pod %s is marked %q, want %q", name, got, want)
			}
		}
	})
	t.Run("a webhook is shown what plugins before it changed, and asked again about what those after it do", func(t *testing.T) {
		h.requests("/label")
		if _, err := write(free, "again"); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, asked := range h.requests("/label") {
			var shown corev1.Pod
			if err := json.Unmarshal(asked.Object.Raw, &shown); err != nil {
				t.Fatal(err)
			}
			got = append(got, marked(&shown))
		}
		if want := []string{"token written", "hooked token written"}; !slices.Equal(got, want) {
			t.Errorf("the webhook was shown pods marked %q, want %q", got, want)
		}
	})
	t.Run("all judge what came of it, and who denies first has the word", func(t *testing.T) {
		for name, test := range map[string]struct{ ns, want string }{
			"whole":   {full, `admission plugin "whole" denied the request: no`},
			"before":  {full, `admission plugin "before" denied the request: no`},
			"both":    {full, `admission plugin "before" denied the request: no`},
			"refused": {full, "denied request: hooked"},
			"behind":  {full, `admission plugin "behind" denied the request: no`},
			"counted": {full, "exceeded quota: few"},
			"last":    {free, `admission plugin "last" denied the request: no`},
		} {
			_, err := write(test.ns, name)
			wantError(t, err, test.want)
		}
	})
}

// marked is by whom a pod is marked.
func marked(p *corev1.Pod) string {
	return strings.Join(slices.Sorted(maps.Keys(p.Annotations)), " ")
}
