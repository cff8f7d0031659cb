package plugins_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
)

// patching is a response that patches.
func patching(patch string) string {
	return fmt.Sprintf(`{"uid":"$uid","allowed":true,"patchType":"JSONPatch","patch":"%s"}`,
		base64.StdEncoding.EncodeToString([]byte(patch)))
}

func TestAnAnswerBecomesTheRequestsFate(t *testing.T) {
	for _, test := range []struct {
		name, response, want string
	}{
		{"allowed is allowed", `{"uid":"$uid","allowed":true}`, "allowed"},
		{"a denial keeps its code, reason and message",
			`{"uid":"$uid","allowed":false,"status":{"code":422,"reason":"Invalid","message":"no owner"}}`,
			`422 Invalid: admission plugin "judge" denied the request: no owner`},
		{"a denial without a code is a bad request", `{"uid":"$uid","allowed":false,"status":{"message":"no"}}`,
			`400 : admission plugin "judge" denied the request: no`},
		{"a denial with a code of success is a bad request", `{"uid":"$uid","allowed":false,"status":{"code":200,"status":"Success"}}`,
			`400 : admission plugin "judge" denied the request without explanation`},
		{"a denial's reason stands in for its message", `{"uid":"$uid","allowed":false,"status":{"code":409,"reason":"Conflict"}}`,
			`409 Conflict: admission plugin "judge" denied the request: Conflict`},
		{"a denial may say nothing", `{"uid":"$uid","allowed":false}`,
			`400 : admission plugin "judge" denied the request without explanation`},
		{"an empty patch is no patch", patching(`[]`), "allowed"},
		{"another request's uid is a failure", `{"uid":"4711","allowed":true}`, `its answer has the uid "4711", the request has`},
		{"a patch without its type is a failure", `{"uid":"$uid","allowed":true,"patch":"W10="}`, "a patch but no patchType"},
		{"a type without its patch is a failure", `{"uid":"$uid","allowed":true,"patchType":"JSONPatch"}`, "a patchType but no patch"},
		{"a patch of another type is a failure", `{"uid":"$uid","allowed":true,"patchType":"Merge","patch":"W10="}`, `of the type "Merge"`},
		{"a patch and an object is a failure", strings.Replace(patching(`[]`), "{", `{"object":{},`, 1), "has a patch and an object"},
		{"an object that is none is a failure", `{"uid":"$uid","allowed":true,"object":[1]}`, "its patch makes the object something that is no Pod"},
		{"an object of another kind is a failure", `{"uid":"$uid","allowed":true,"object":{"apiVersion":"v1","kind":"Potato"}}`,
			"its patch makes the object something that is no Pod"},
		{"no object is no change", `{"uid":"$uid","allowed":true,"object":null}`, "allowed"},
		{"a patch that is no patch is a failure", patching(`{"op":"add"}`), "its patch is no JSON patch"},
		{"a patch that does not apply is a failure", patching(`[{"op":"remove","path":"/spec/nothing"}]`), "its patch does not apply"},
		{"a patch that fails its own test is a failure", patching(`[{"op":"test","path":"/metadata/name","value":"other"}]`), "its patch does not apply"},
		{"a patch that breaks the schema is a failure", patching(`[{"op":"replace","path":"/spec/containers","value":"none"}]`),
			"its patch makes the object something that is no Pod"},
		{"a patch that makes another kind is a failure", patching(`[{"op":"replace","path":"/kind","value":"Potato"}]`),
			"its patch makes the object something that is no Pod"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, script(t, "judge", test.response, ""))
			got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))))
			if strings.Contains(test.name, "failure") {
				prefix := `500 InternalError: Internal error occurred: failed calling admission plugin "judge" (revision ` + h.only().Revision + "): "
				if !strings.HasPrefix(got, prefix) || !strings.Contains(got, test.want) {
					t.Errorf("got  %s\nwant %s…%s…", got, prefix, test.want)
				}
				if !strings.Contains(h.log.String(), "plugin=judge revision="+h.only().Revision) {
					t.Errorf("the log does not name the plugin and its revision:\n%s", h.log)
				}
			} else if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestAnObjectCanComeInPlaceOfAPatch(t *testing.T) {
	const object = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default","labels":{"owner":"jane"}},` +
		`"spec":{"containers":[{"name":"c","image":"registry.example.org/nginx"}]}}`
	h := open(t, script(t, "judge", `{"uid":"$uid","allowed":true,"object":`+object+`}`, "admission: {phases: [mutate]}"))
	pod := plugintest.Pod(map[string]string{"other": "label"})
	if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(pod))); got != "allowed" {
		t.Fatal(got)
	}
	if diff := cmp.Diff(map[string]string{"owner": "jane"}, pod.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if image := pod.Spec.Containers[0].Image; image != "registry.example.org/nginx" {
		t.Errorf("the image is %s", image)
	}
}

func TestAGuestThatIsWrittenByTheSpecificationAloneAdmits(t *testing.T) {
	h := open(t, files{"by-hand.wasm": string(guesttest.Read(t, "by-hand"))})
	const denied = `403 Forbidden: admission plugin "by-hand" denied the request: a Pod must say who owns it: add the label owner`
	marked := map[string]string{"owner": "team-a", "example.com/checked-by": "by-hand"}
	for _, test := range []struct {
		name          string
		labels, after map[string]string
		want          string
	}{
		{"no labels", nil, nil, denied},
		{"an empty owner", map[string]string{"owner": ""}, map[string]string{"owner": ""}, denied},
		{"an owner", map[string]string{"owner": "team-a"}, marked, "allowed"},
		{"an owner and a mark", marked, marked, "allowed"},
	} {
		pod := plugintest.Pod(test.labels)
		if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(pod))); got != test.want {
			t.Errorf("%s: got  %s\nwant %s", test.name, got, test.want)
		}
		if diff := cmp.Diff(test.after, pod.Labels); diff != "" {
			t.Errorf("%s: labels (-want +got):\n%s", test.name, diff)
		}
	}
	large := plugintest.Pod(map[string]string{"owner": "team-a"})
	large.Annotations = map[string]string{"text": strings.Repeat("x", 200<<10)} // more than the guest begins with
	if got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(large))); got != "allowed" {
		t.Errorf("a large Pod: %s", got)
	}
}

func TestAnAnswerThatIsNoReviewIsAFailure(t *testing.T) {
	for _, test := range []struct {
		name, answer, want string
	}{
		{"another kind", `{"apiVersion":"v1","kind":"Pod"}`, `its kind is "Pod", its apiVersion "v1"`},
		{"another version", `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","response":{"uid":"$uid","allowed":true}}`, "v1beta1"},
		{"no response", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, "its answer has no response"},
		{"wrong types", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"$uid","allowed":"yes"}}`, "is no AdmissionReview"},
		{"its own failure", `{"apiVersion":"v1","kind":"Status","status":"Failure","message":"my list is out of date"}`, "it says: my list is out of date"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, scriptWhole(t, "judge", test.answer, ""))
			got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))))
			if !strings.HasPrefix(got, `500 InternalError: Internal error occurred: failed calling admission plugin "judge"`) || !strings.Contains(got, test.want) {
				t.Errorf("got %s, want a failure with %q in it", got, test.want)
			}
		})
	}
}

func TestAPatchChangesTheObject(t *testing.T) {
	h := open(t, script(t, "marker", patching(`[{"op":"add","path":"/metadata/labels","value":{"seen":"yes"}}]`), ""))
	pod := plugintest.Pod(nil)
	a := plugintest.Create(pod)
	if err := h.admit(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"seen": "yes"}, pod.Labels); diff != "" {
		t.Errorf("the Pod's labels (-want +got):\n%s", diff)
	}
	if !a.GetReinvocationContext().ShouldReinvoke() {
		t.Error("built-in members are not asked to look at the changed object")
	}
	if pod.Spec.RestartPolicy == "" {
		t.Error("the patched object has not been defaulted")
	}
}

func TestAPatchChangesACustomObject(t *testing.T) {
	h := open(t, script(t, "marker", patching(`[{"op":"add","path":"/spec/count","value":4}]`), ""))
	kind := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}
	widget := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": "w"}, "spec": map[string]any{"count": int64(3)}}}
	a := admission.NewAttributesRecord(widget, nil, kind, "default", "w", kind.GroupVersion().WithResource("widgets"), "",
		admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "jane"})
	if err := h.admit(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if count, _, _ := unstructured.NestedInt64(widget.Object, "spec", "count"); count != 4 {
		t.Errorf("the widget's count is %d, want 4", count)
	}
}

func TestPluginsAreAskedInTheOrderOfTheirNamesAndSeeEarlierPatches(t *testing.T) {
	h := open(t, merge(
		script(t, "a-first", patching(`[{"op":"add","path":"/metadata/labels","value":{"count":"one"}}]`), "admission: {phases: [mutate]}"),
		script(t, "b-second", patching(`[{"op":"test","path":"/metadata/labels/count","value":"one"},{"op":"replace","path":"/metadata/labels/count","value":"two"}]`),
			"admission: {phases: [mutate]}"),
		script(t, "c-third", `{"uid":"$uid","allowed":true,"warnings":["third"]}`, "admission: {phases: [validate]}"),
		script(t, "d-fourth", `{"uid":"$uid","allowed":false}`, "admission: {phases: [validate]}"),
		script(t, "e-fifth", `{"uid":"$uid","allowed":true,"warnings":["fifth"]}`, "admission: {phases: [validate]}"),
	))
	pod, w := plugintest.Pod(nil), &plugintest.Warnings{}
	got := plugintest.Fate(h.admit(w.Context(t.Context()), plugintest.Create(pod)))
	if !strings.Contains(got, `admission plugin "d-fourth" denied the request`) {
		t.Errorf("got %s, want the fourth plugin's denial", got)
	}
	if pod.Labels["count"] != "two" {
		t.Errorf("the label count is %q, want the second plugin's two", pod.Labels["count"])
	}
	if diff := cmp.Diff([]string{"third"}, w.Texts); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAPatchWhileValidatingMustBeOneThatChangesNothing(t *testing.T) {
	patch := patching(`[{"op":"add","path":"/metadata/labels","value":{"seen":"yes"}}]`)
	h := open(t, script(t, "marker", patch, "admission: {phases: [validate]}"))
	if err := h.admit(t.Context(), plugintest.Create(plugintest.Pod(map[string]string{"seen": "yes"}))); err != nil {
		t.Errorf("a patch that changes nothing is taken amiss: %v", err)
	}
	pod := plugintest.Pod(nil)
	got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(pod)))
	if !strings.Contains(got, "in the phase validate it answered a patch that would still change the object") {
		t.Errorf("got %s, want a failure about the patch", got)
	}
	if len(pod.Labels) > 0 {
		t.Errorf("the object has been changed: %v", pod.Labels)
	}
}

func TestADeletionCannotBePatched(t *testing.T) {
	h := open(t, script(t, "marker", patching(`[{"op":"add","path":"/metadata/labels","value":{}}]`), ""))
	got := plugintest.Fate(h.admit(t.Context(), plugintest.Delete(plugintest.Pod(nil))))
	if !strings.Contains(got, "there is no object to change") {
		t.Errorf("got %s, want a failure about the patch", got)
	}
}

func TestWarningsAndAuditAnnotationsReachTheRequest(t *testing.T) {
	h := open(t, script(t, "judge",
		`{"uid":"$uid","allowed":false,"warnings":["first","second"],"auditAnnotations":{"why":"because","not a key":"x"}}`,
		"admission: {phases: [validate]}"))
	w, a := &plugintest.Warnings{}, &annotated{Attributes: plugintest.Create(plugintest.Pod(nil))}
	if err := h.admit(w.Context(t.Context()), a); err == nil {
		t.Error("the request is allowed")
	}
	if diff := cmp.Diff([]string{"first", "second"}, w.Texts); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"judge/why": "because"}, a.annotations); diff != "" {
		t.Errorf("audit annotations (-want +got):\n%s", diff)
	}
	if !strings.Contains(h.log.String(), `key="judge/not a key"`) {
		t.Errorf("the log does not tell of the annotation that was refused:\n%s", h.log)
	}
}

func TestAPluginWhoseFailuresAreIgnoredOnlyWarns(t *testing.T) {
	for _, test := range []struct {
		name  string
		wasm  []byte
		cause string
	}{
		{"when it traps", guesttest.Read(t, "trap"), "admit: the guest trapped: unreachable"},
		{"when it never loaded", guesttest.Read(t, "no-marker"), "it did not load: is no gatehouse plugin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, files{"careless.wasm": string(test.wasm), "careless.yaml": "failurePolicy: Ignore\nadmission: {phases: [validate]}\n"})
			w, a := &plugintest.Warnings{}, &annotated{Attributes: plugintest.Create(plugintest.Pod(nil))}
			if err := h.admit(w.Context(t.Context()), a); err != nil {
				t.Fatal(err)
			}
			if len(w.Texts) != 1 || !strings.Contains(w.Texts[0], test.cause) {
				t.Errorf("the warnings are %q, want one with %q", w.Texts, test.cause)
			}
			if got := a.annotations["validate.failed-open.plugins.gatehouse.dev/careless"]; !strings.Contains(got, test.cause) {
				t.Errorf("the audit annotations are %v, want one with %q", a.annotations, test.cause)
			}
		})
	}
}

func TestEveryMisbehavingGuestDeniesByNameAndHarmsNobodyElse(t *testing.T) {
	for _, guest := range guesttest.AllMisbehaving(t) {
		t.Run(guest.Guest, func(t *testing.T) {
			limits := "limits: {deadline: 1m, start: 1m}\n"
			if strings.Contains(guest.Cause, "deadline") {
				limits = "limits: {deadline: 20ms, start: 20ms}\n"
			}
			if len(guest.Wasm) == 0 {
				guest.Wasm = []byte{} // an empty file is not a file to remove
			}
			h := open(t, nil)
			h.writeRaw("culprit.wasm", guest.Wasm)
			h.write(files{"culprit.yaml": limits + "admission: {phases: [validate], rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]}"})
			h.write(files{"bystander.wasm": string(guesttest.Allow(t, 'a'))})
			h.sync()
			for range 2 { // the second request meets what the first left behind
				w := &plugintest.Warnings{}
				got := plugintest.Fate(h.admit(w.Context(t.Context()), plugintest.Create(plugintest.Pod(nil))))
				if !strings.HasPrefix(got, `500 InternalError: Internal error occurred: failed calling admission plugin "culprit"`) || !strings.Contains(got, guest.Cause) {
					t.Errorf("got %s, want a failure of culprit with %q", got, guest.Cause)
				}
				if diff := cmp.Diff([]string{"build-a", "build-a"}, w.Texts); diff != "" {
					t.Errorf("the bystander was not asked in both phases (-want +got):\n%s", diff)
				}
			}
			if err := h.admit(t.Context(), plugintest.Delete(plugintest.Pod(nil))); err != nil {
				t.Errorf("a request that does not concern the culprit is denied: %v", err)
			}
			if log := h.log.String(); !strings.Contains(log, "plugin=culprit") || !strings.Contains(log, "level=ERROR") {
				t.Errorf("the log does not name the culprit:\n%s", log)
			}
		})
	}
}

func TestARequestWhoseTimeIsUpIsATimeout(t *testing.T) {
	h := open(t, files{"slow.wasm": string(guesttest.Read(t, "loop"))})
	ctx, cancel := contextOver()
	defer cancel()
	if got := plugintest.Fate(h.admit(ctx, plugintest.Create(plugintest.Pod(nil)))); got != "504 Timeout: Timeout: request did not complete within requested timeout" {
		t.Errorf("got %s, want upstream's timeout", got)
	}
}

func TestReviewsOfIdentityAreNeverHandedToPlugins(t *testing.T) {
	h := open(t, files{"broken.wasm": "not wasm", "broken.yaml": "not: [a manifest"})
	for _, resource := range []schema.GroupVersionResource{
		{Group: "authentication.k8s.io", Version: "v1", Resource: "tokenreviews"},
		{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"},
	} {
		a := admission.NewAttributesRecord(plugintest.Pod(nil), nil, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, "", "", resource, "", admission.Create,
			&metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "jane"})
		if err := h.admit(t.Context(), a); err != nil {
			t.Errorf("%s: %v", resource.Resource, err)
		}
	}
	if err := h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))); err == nil {
		t.Error("anything else is let pass by a broken plugin")
	}
}

func TestWithoutPluginsNothingIsHandled(t *testing.T) {
	h := open(t, nil)
	if h.Admission(plugins.Selection{}).Handles(admission.Create) {
		t.Error("an empty folder wants to see requests")
	}
}

func TestRequestsOfTheServersOwnCanBeExempt(t *testing.T) {
	type own struct{}
	h := open(t, files{"broken.wasm": "not wasm"}, func(o *plugins.Options) {
		o.Exempt = func(ctx context.Context) bool { return ctx.Value(own{}) != nil }
	})
	if err := h.admit(context.WithValue(t.Context(), own{}, true), plugintest.Create(plugintest.Pod(nil))); err != nil {
		t.Errorf("the server's own request is denied: %v", err)
	}
	if err := h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))); err == nil {
		t.Error("a client's request is let pass by a broken plugin")
	}
}
