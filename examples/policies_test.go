package examples_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins/plugintest"
)

// createNamespace is the creation of a namespace with labels.
func createNamespace(labels map[string]string) admission.Attributes {
	namespace := &core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: labels}}
	return admission.NewAttributesRecord(namespace, nil, schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, "shop", "shop",
		schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "", admission.Create, &metav1.CreateOptions{}, false,
		&user.DefaultInfo{Name: "jane"})
}

func TestRegoRequiredLabels(t *testing.T) {
	set := host(t, "rego-required-labels")
	for name, test := range map[string]struct {
		labels map[string]string
		want   string
	}{
		"all labels":     {map[string]string{"team": "a", "cost-centre": "7"}, "allowed"},
		"a label less":   {map[string]string{"team": "a"}, `must have the labels {"cost-centre"}`},
		"no label":       {nil, `Namespace "shop" must have the labels {"cost-centre", "team"}`},
		"another label":  {map[string]string{"team": "a", "cost-center": "7"}, `must have the labels {"cost-centre"}`},
		"one label more": {map[string]string{"team": "a", "cost-centre": "7", "b": "c"}, "allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := plugintest.Fate(plugintest.Admit(t.Context(), set, createNamespace(test.labels)))
			if !strings.Contains(got, test.want) || test.want != "allowed" && !strings.Contains(got, `admission plugin "rego-required-labels" denied the request: `) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if err := plugintest.Admit(t.Context(), set, plugintest.Create(plugintest.Pod(nil))); err != nil {
		t.Errorf("a Pod, which the policy is not asked about: %v", err)
	}
}

func TestKubewardenHostNetwork(t *testing.T) {
	set := host(t, "kubewarden-host-network")
	for name, test := range map[string]struct {
		namespace   string
		hostNetwork bool
		denied      bool
	}{
		"a Pod in a network of its own":       {"default", false, false},
		"a Pod in its node's network":         {"default", true, true},
		"one in a namespace that may have it": {"kube-system", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plugintest.Pod(nil)
			pod.Namespace = test.namespace
			pod.Spec.HostNetwork = test.hostNetwork
			got := plugintest.Fate(plugintest.Admit(t.Context(), set, plugintest.Create(pod)))
			if denied := strings.Contains(got, `admission plugin "kubewarden-host-network" denied the request: `); denied != test.denied ||
				!denied && got != "allowed" {
				t.Errorf("got %s, want it denied: %t", got, test.denied)
			}
		})
	}
}
