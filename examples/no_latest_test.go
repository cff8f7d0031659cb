package examples_test

import (
	"testing"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins/plugintest"
)

func TestNoLatest(t *testing.T) {
	set := host(t, "no-latest")
	const denied = `403 Forbidden: admission plugin "no-latest" denied the request: ` +
		`images must have a tag other than latest, or a digest: `
	const digest = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, test := range []struct {
		name  string
		write admission.Attributes
		want  string
	}{
		{"a tag says which image", create("nginx:1.27"), "allowed"},
		{"a digest says which image", create("nginx" + digest), "allowed"},
		{"a digest counts, and no tag beside it", create("nginx:latest" + digest), "allowed"},
		{"latest is refused", create("nginx:latest"), denied + "nginx:latest"},
		{"no tag is latest", create("nginx"), denied + "nginx"},
		{"a port is no tag", create("registry.example.org:5000/web"), denied + "registry.example.org:5000/web"},
		{"a port stands beside a tag", create("registry.example.org:5000/web:1"), "allowed"},
		{"latest is latest behind a port", create("registry.example.org:5000/web:latest"), denied + "registry.example.org:5000/web:latest"},
		{"a tag may begin like latest", create("nginx:latest-1"), "allowed"},
		{"some images are exempt", create("registry.example.org/playground/x"), "allowed"},
		{"all containers count, and all are named", create("nginx:1", "a", "b:latest"), denied + "a, b:latest"},
		{"no container hides those behind it", create("nginx:1", "", "b:latest"), denied + "b:latest"},
		{"init containers count", plugintest.Create(withContainers("nginx:1", func(p *core.Pod) {
			p.Spec.InitContainers = []core.Container{{Name: "i", Image: "init"}}
		})), denied + "init"},
		{"ephemeral containers count", plugintest.Update(withContainers("nginx:1", func(p *core.Pod) {
			p.Spec.EphemeralContainers = []core.EphemeralContainer{
				{EphemeralContainerCommon: core.EphemeralContainerCommon{Name: "e", Image: "debug:latest"}}}
		}), pod("nginx:1")), denied + "debug:latest"},
		{"what runs already may be changed", plugintest.Update(pod("nginx", "b:1"), pod("nginx", "b:2")), "allowed"},
		{"what runs already may not get another such image", plugintest.Update(pod("nginx", "b"), pod("nginx", "b:2")), denied + "b"},
		{"everything may be deleted", plugintest.Delete(pod("nginx")), "allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := plugintest.Fate(plugintest.Admit(t.Context(), set, test.write)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func create(images ...string) admission.Attributes { return plugintest.Create(pod(images...)) }

// pod is one with a container for each image.
func pod(images ...string) *core.Pod {
	pod := plugintest.Pod(nil)
	pod.Spec.Containers = nil
	for _, image := range images {
		pod.Spec.Containers = append(pod.Spec.Containers, core.Container{Name: "c", Image: image})
	}
	return pod
}

func withContainers(image string, add func(*core.Pod)) *core.Pod {
	p := pod(image)
	add(p)
	return p
}
