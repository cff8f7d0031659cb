package plugins

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"gatehouse/plugins/sandbox"
)

// rostered is a roster of plugins with those manifests.
func rostered(t *testing.T, manifests ...string) *roster {
	t.Helper()
	var all []*plugin
	for i, text := range manifests {
		m, err := parseManifest([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		p := &plugin{name: fmt.Sprint(i)}
		p.state.Store(&state{manifest: m, roles: roleBit(sandbox.Admit)})
		all = append(all, p)
	}
	return newRoster(all)
}

// names are those of the plugins that a write concerns.
func (r *roster) names(t *testing.T, w *request) string {
	t.Helper()
	found, err := r.admitting(w, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, p := range found {
		names += p.name
	}
	return names
}

func TestWhomAKindOfWriteConcernsIsRemembered(t *testing.T) {
	const rule = "admission: {rules: [{operations: [%s], apiGroups: [autoscaling], apiVersions: [%s], resources: [%s], scope: '%s'}]}"
	r := rostered(t,
		fmt.Sprintf(rule, "CREATE", "v1", "horizontalpodautoscalers", "*"),
		fmt.Sprintf(rule, "DELETE", "v1", "horizontalpodautoscalers", "*"),
		fmt.Sprintf(rule, "CREATE", "v1", "horizontalpodautoscalers/status", "*"),
		fmt.Sprintf(rule, "CREATE", "v1", "horizontalpodautoscalers", "Cluster"),
		"admission: {phases: [mutate]}",
	)
	v1 := gvr("autoscaling", "v1", "horizontalpodautoscalers")
	for range 2 { // the second time from memory
		for _, test := range []struct {
			name, subresource, namespace string
			phase                        phase
			operation                    admission.Operation
			resource                     schema.GroupVersionResource
			want                         string
		}{
			{"a creation", "", "default", validate, admission.Create, v1, "0"},
			{"in the other phase", "", "default", mutate, admission.Create, v1, "04"},
			{"a deletion", "", "default", validate, admission.Delete, v1, "1"},
			{"of a subresource", "status", "default", validate, admission.Create, v1, "2"},
			{"in no namespace", "", "", validate, admission.Create, v1, "03"},
			{"of another version", "", "default", validate, admission.Create, gvr("autoscaling", "v2", "horizontalpodautoscalers"), "0"},
			{"of another resource", "", "default", validate, admission.Create, gvr("", "v1", "pods"), ""},
		} {
			a := admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, test.namespace, "n", test.resource, test.subresource,
				test.operation, nil, false, &user.DefaultInfo{})
			if got := r.names(t, &request{Attributes: a, phase: test.phase, objects: &admission.RuntimeObjectInterfaces{EquivalentResourceMapper: autoscalers()}}); got != test.want {
				t.Errorf("%s concerns %q, want %q", test.name, got, test.want)
			}
		}
	}
}

func TestWhatIsRememberedHoldsAsLongAsResourcesHaveTheSameEquivalents(t *testing.T) {
	r := rostered(t, "admission: {rules: [{operations: [CREATE], apiGroups: [autoscaling], apiVersions: [v2], resources: ['*']}]}")
	write := func(mapper runtime.EquivalentResourceMapper) *request {
		a := admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, "default", "n", gvr("autoscaling", "v1", "horizontalpodautoscalers"), "",
			admission.Create, nil, false, &user.DefaultInfo{})
		return &request{Attributes: a, phase: validate, objects: &admission.RuntimeObjectInterfaces{EquivalentResourceMapper: mapper}}
	}
	if got := r.names(t, write(runtime.NewEquivalentResourceRegistry())); got != "" {
		t.Errorf("concerns %q while there is no other version", got)
	}
	if got := r.names(t, write(autoscalers())); got != "0" {
		t.Errorf("concerns %q once there is another version, want 0", got)
	}
}

func TestMadeUpResourcesDoNotFillTheMemory(t *testing.T) {
	r := rostered(t, "")
	for i := range maxKindsOfWrites + 10 {
		a := admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, "default", "n", gvr("", "v1", fmt.Sprint(i)), "",
			admission.Create, nil, false, &user.DefaultInfo{})
		if got := r.names(t, &request{Attributes: a, phase: validate, objects: &admission.RuntimeObjectInterfaces{}}); got != "0" {
			t.Fatalf("concerns %q, want 0", got)
		}
	}
	kept := 0
	r.writes.Range(func(any, any) bool { kept++; return true })
	if kept != maxKindsOfWrites {
		t.Errorf("%d kinds of writes are kept, want %d", kept, maxKindsOfWrites)
	}
}
