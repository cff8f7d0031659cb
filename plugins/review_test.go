package plugins

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	webhookrequest "k8s.io/apiserver/pkg/admission/plugin/webhook/request"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins/sandbox"
)

// writes are requests of each operation, with the internal objects the engine hands to admission.
func writes() map[string]admission.Attributes {
	jane := &user.DefaultInfo{Name: "jane", UID: "u1", Groups: []string{"devs", "system:authenticated"}, Extra: map[string][]string{"scope": {"a"}}}
	kind, resource := gvr("", "v1", "pods").GroupVersion().WithKind("Pod"), gvr("", "v1", "pods")
	pod := func(image string) *core.Pod {
		return &core.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: map[string]string{"app.kubernetes.io/name": "<web>"}},
			Spec:       core.PodSpec{Containers: []core.Container{{Name: "c", Image: image}}},
		}
	}
	return map[string]admission.Attributes{
		"create": admission.NewAttributesRecord(pod("nginx"), nil, kind, "default", "web", resource, "", admission.Create,
			&metav1.CreateOptions{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"}, FieldManager: "kubectl"}, false, jane),
		"update": admission.NewAttributesRecord(pod("nginx:2"), pod("nginx:1"), kind, "default", "web", resource, "status", admission.Update,
			&metav1.UpdateOptions{DryRun: []string{"All"}}, true, jane),
		"delete": admission.NewAttributesRecord(nil, pod("nginx"), kind, "default", "web", resource, "", admission.Delete,
			&metav1.DeleteOptions{}, false, &user.DefaultInfo{}),
	}
}

func reviewOf(t *testing.T, a admission.Attributes) *review {
	t.Helper()
	r := newReview(&request{Attributes: a, phase: mutate, objects: admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)})
	if err := r.turnTo(target{kind: a.GetKind(), resource: a.GetResource()}); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGuestsGetTheReviewThatWebhooksGet(t *testing.T) {
	for name, a := range writes() {
		t.Run(name, func(t *testing.T) {
			r := reviewOf(t, a)
			got, err := r.encoded()
			if err != nil {
				t.Fatal(err)
			}
			upstream := webhookrequest.CreateV1AdmissionReview(r.uid, r.versioned, &generic.WebhookInvocation{
				Resource: a.GetResource(), Subresource: a.GetSubresource(), Kind: a.GetKind()})
			upstream.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
			want, err := json.Marshal(upstream)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("the review (-upstream +ours):\n%s", diff)
			}
		})
	}
}

func TestLookUpsAgreeWithTheReview(t *testing.T) {
	for name, a := range writes() {
		t.Run(name, func(t *testing.T) {
			r := reviewOf(t, a)
			payload, err := r.encoded()
			if err != nil {
				t.Fatal(err)
			}
			var root any
			if err := json.Unmarshal(payload, &root); err != nil {
				t.Fatal(err)
			}
			agree(t, r, "", root)
			for _, pointer := range []string{"/request/objects", "/request/object/spec/nothing", "/nothing", "/request/options/nothing"} {
				if v, err := r.Field(pointer); err != nil || v.Kind != sandbox.Absent {
					t.Errorf("%s is %v %q, %v", pointer, v.Kind, v.Text, err)
				}
			}
		})
	}
}

// agree compares what is looked up below pointer with what the JSON holds there.
func agree(t *testing.T, r *review, pointer string, want any) {
	t.Helper()
	v, err := r.Field(pointer)
	if err != nil {
		t.Fatalf("%s: %v", pointer, err)
	}
	var got any = string(v.Text)
	if v.Kind != sandbox.String {
		if err := json.Unmarshal(v.Text, &got); err != nil {
			t.Fatalf("%s: kind %d, %q: %v", pointer, v.Kind, v.Text, err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-JSON +looked up):\n%s", pointer, diff)
	}
	switch want := want.(type) {
	case map[string]any:
		for name, member := range want {
			agree(t, r, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), member)
		}
	case []any:
		for i, element := range want {
			agree(t, r, fmt.Sprintf("%s/%d", pointer, i), element)
		}
	}
}

func TestTheReviewIsEncodedOnceUntilTheObjectChanges(t *testing.T) {
	r := reviewOf(t, writes()["create"])
	first, err := r.encoded()
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.encoded()
	if err != nil || &first[0] != &again[0] {
		t.Errorf("the same review is encoded twice (%v)", err)
	}
	v, err := parseAnswer(fmt.Appendf(nil, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"%s","allowed":true,`+
		`"patchType":"JSONPatch","patch":"%s"}}`, r.uid, base64Of(`[{"op":"replace","path":"/spec/containers/0/image","value":"patched"}]`)), r.uid)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := r.patched(v.patch)
	if err != nil || changed == nil {
		t.Fatalf("the patch gives %v, %v", changed, err)
	}
	r.replace(changed)
	after, err := r.encoded()
	if err != nil || !strings.Contains(string(after), `"image":"patched"`) {
		t.Errorf("the next guest does not see the patch (%v): %s", err, after)
	}
	if image, err := r.Field("/request/object/spec/containers/0/image"); err != nil || string(image.Text) != "patched" {
		t.Errorf("nor does its look-up: %q, %v", image.Text, err)
	}
}

func BenchmarkReview(b *testing.B) {
	a, o := writes()["create"], admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
	for b.Loop() {
		r := newReview(&request{Attributes: a, phase: mutate, objects: o})
		if err := r.turnTo(target{kind: a.GetKind(), resource: a.GetResource()}); err != nil {
			b.Fatal(err)
		}
		if _, err := r.encoded(); err != nil {
			b.Fatal(err)
		}
	}
}
