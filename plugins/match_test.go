package plugins

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
)

// autoscalers are one kind of objects in two versions.
func autoscalers() runtime.EquivalentResourceMapper {
	registry := runtime.NewEquivalentResourceRegistryWithIdentity(func(r schema.GroupResource) string { return r.String() })
	for _, version := range []string{"v1", "v2"} {
		gv := schema.GroupVersion{Group: "autoscaling", Version: version}
		registry.RegisterKindFor(gv.WithResource("horizontalpodautoscalers"), "", gv.WithKind("HorizontalPodAutoscaler"))
	}
	return registry
}

func TestRulesDecideWhoIsAsked(t *testing.T) {
	const v2 = "admission: {rules: [{operations: [CREATE], apiGroups: [autoscaling], apiVersions: [v2], resources: [horizontalpodautoscalers]}]}"
	for _, test := range []struct {
		name, manifest string
		phase          phase
		resource       schema.GroupVersionResource
		subresource    string
		operation      admission.Operation
		want           string // the version seen, "" for not asked
	}{
		{"by default every creation", "", mutate, gvr("", "v1", "pods"), "", admission.Create, "v1"},
		{"by default every deletion", "", validate, gvr("apps", "v1", "deployments"), "", admission.Delete, "v1"},
		{"by default no subresource", "", mutate, gvr("", "v1", "pods"), "status", admission.Update, ""},
		{"by default no connection", "", validate, gvr("", "v1", "pods"), "exec", admission.Connect, ""},
		{"a rule in its own version", v2, mutate, gvr("autoscaling", "v2", "horizontalpodautoscalers"), "", admission.Create, "v2"},
		{"a rule is not evaded by another version", v2, mutate, gvr("autoscaling", "v1", "horizontalpodautoscalers"), "", admission.Create, "v2"},
		{"an exact rule is one version's", "admission: {matchPolicy: Exact, " + v2[len("admission: {"):], mutate,
			gvr("autoscaling", "v1", "horizontalpodautoscalers"), "", admission.Create, ""},
		{"a rule for another operation", v2, mutate, gvr("autoscaling", "v2", "horizontalpodautoscalers"), "", admission.Update, ""},
		{"a rule for another resource", v2, mutate, gvr("", "v1", "pods"), "", admission.Create, ""},
		{"a phase that is not the plugin's", "admission: {phases: [validate]}", mutate, gvr("", "v1", "pods"), "", admission.Create, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := parseManifest([]byte(test.manifest))
			if err != nil {
				t.Fatal(err)
			}
			kind := test.resource.GroupVersion().WithKind("Some")
			r := &request{
				Attributes: admission.NewAttributesRecord(nil, nil, kind, "ns", "n", test.resource, test.subresource, test.operation,
					&metav1.CreateOptions{}, false, &user.DefaultInfo{}),
				phase:   test.phase,
				objects: &admission.RuntimeObjectInterfaces{EquivalentResourceMapper: autoscalers()},
			}
			got, concerns, err := r.match(m)
			if err != nil || concerns != (test.want != "") || got.resource.Version != test.want || got.kind.Version != test.want {
				t.Errorf("match is %+v, %t, %v, want version %q", got, concerns, err, test.want)
			}
		})
	}
}

func TestAnUnknownManifestConcernsEverything(t *testing.T) {
	for _, operation := range []admission.Operation{admission.Create, admission.Update, admission.Delete, admission.Connect} {
		for _, subresource := range []string{"", "exec"} {
			r := &request{Attributes: admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, "", "", gvr("g", "v", "r"),
				subresource, operation, nil, false, nil), phase: validate}
			if _, concerns, err := r.match(unknownManifest()); !concerns || err != nil {
				t.Errorf("%s of r/%s passes (%v)", operation, subresource, err)
			}
		}
	}
}

func gvr(group, version, resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
}
