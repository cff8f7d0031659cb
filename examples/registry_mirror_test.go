package examples_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins/plugintest"
)

func TestRegistryMirror(t *testing.T) {
	set := host(t, "registry-mirror")
	all := func() *core.Pod {
		return withContainers("nginx:1.29", func(p *core.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, core.Container{Name: "none"}, core.Container{Name: "d", Image: "ghcr.io/a/b@sha256:0"})
			p.Spec.InitContainers = []core.Container{{Name: "i", Image: "docker.io/busybox"}}
			p.Spec.EphemeralContainers = []core.EphemeralContainer{
				{EphemeralContainerCommon: core.EphemeralContainerCommon{Name: "e", Image: "grafana/loki"}}}
			p.Spec.Volumes = []core.Volume{
				{Name: "empty", VolumeSource: core.VolumeSource{EmptyDir: &core.EmptyDirVolumeSource{}}},
				{Name: "image", VolumeSource: core.VolumeSource{Image: &core.ImageVolumeSource{Reference: "ghcr.io/data:1"}}}}
		})
	}
	of := func(image string) admission.Attributes { return plugintest.Create(pod(image)) }
	for _, test := range []struct {
		name  string
		write admission.Attributes
		want  []string
	}{
		{"an image of a mirrored registry", of("ghcr.io/a/b:1"), []string{"mirror.example.org/github/a/b:1"}},
		{"an image that names no registry", of("nginx"), []string{"mirror.example.org/hub/library/nginx"}},
		{"an image of another registry", of("quay.io/a/b:1"), []string{"quay.io/a/b:1"}},
		{"an image of the mirror", of("mirror.example.org/hub/library/nginx"), []string{"mirror.example.org/hub/library/nginx"}},
		{"all that a Pod pulls", plugintest.Create(all()), []string{
			"mirror.example.org/hub/library/nginx:1.29", "", "mirror.example.org/github/a/b@sha256:0", "mirror.example.org/hub/library/busybox",
			"mirror.example.org/hub/grafana/loki", "mirror.example.org/github/data:1"}},
		{"an update leaves what was there", plugintest.Update(pod("nginx", "b:1"), pod("nginx", "b:1")), []string{"nginx", "b:1"}},
		{"an update changes what is new", plugintest.Update(pod("nginx", "b:2"), pod("nginx", "b:1")),
			[]string{"nginx", "mirror.example.org/hub/library/b:2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := plugintest.Fate(plugintest.Admit(t.Context(), set, test.write)); got != "allowed" {
				t.Fatal(got)
			}
			if diff := cmp.Diff(test.want, imagesOf(test.write.GetObject().(*core.Pod))); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

// imagesOf are all that a Pod pulls.
func imagesOf(pod *core.Pod) (images []string) {
	for _, c := range pod.Spec.Containers {
		images = append(images, c.Image)
	}
	for _, c := range pod.Spec.InitContainers {
		images = append(images, c.Image)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		images = append(images, c.Image)
	}
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			images = append(images, v.Image.Reference)
		}
	}
	return images
}

func TestTheRegistryMirrorsOwnTestsPass(t *testing.T) {
	command := exec.Command("go", "test", "./...")
	command.Dir = "registry-mirror"
	command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if text, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
