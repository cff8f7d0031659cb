package read

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestTrimmingLeavesWhatIsPrinted(t *testing.T) {
	long := strings.Repeat("x", 300)
	managed := []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:` + long + `":{}}`)}}}
	labels := map[string]string{"a": "b"}
	spec := corev1.PodSpec{
		NodeName: "n", Volumes: []corev1.Volume{{Name: long}}, Tolerations: []corev1.Toleration{{Key: long}},
		Containers:     []corev1.Container{{Name: "c", Image: "i", Command: []string{long}, Env: []corev1.EnvVar{{Name: long}}}},
		InitContainers: []corev1.Container{{Name: "d", Image: "j", Args: []string{long}}},
	}
	printedSpec := corev1.PodSpec{
		NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "i"}}, InitContainers: []corev1.Container{{Name: "d", Image: "j"}},
	}
	podSpec := *printedSpec.DeepCopy()
	podSpec.Containers[0].Image, podSpec.InitContainers[0].Image = "", ""
	type message interface {
		Marshal() ([]byte, error)
		Unmarshal([]byte) error
	}
	for _, test := range []struct {
		kind              schema.GroupVersionKind
		object, got, want message
	}{
		{
			kind: corev1.SchemeGroupVersion.WithKind("Pod"),
			object: &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: labels, ManagedFields: managed}, Spec: spec,
				Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{{Name: "c", Ready: true, ImageID: long}}},
			},
			got: &corev1.Pod{},
			want: &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: podSpec,
				Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{{Name: "c", Ready: true}}},
			},
		},
		{
			kind: appsv1.SchemeGroupVersion.WithKind("Deployment"),
			object: &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: labels, ManagedFields: managed},
				Spec:       appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}},
			},
			got: &appsv1.Deployment{},
			want: &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: labels},
				Spec:       appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: printedSpec}},
			},
		},
		{
			kind:   corev1.SchemeGroupVersion.WithKind("Secret"),
			object: &corev1.Secret{Type: "t", Data: map[string][]byte{"k": []byte(long), "l": nil}},
			got:    &corev1.Secret{},
			want:   &corev1.Secret{Type: "t", Data: map[string][]byte{"k": {}, "l": {}}},
		},
	} {
		t.Run(test.kind.Kind, func(t *testing.T) {
			whole, err := test.object.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			trimmed, err := unprinted(test.kind).apply(nil, whole)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.got.Unmarshal(trimmed); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTrimmingRefusesWhatIsNoMessage(t *testing.T) {
	for name, message := range map[string][]byte{
		"a tag that does not end":         {0xff},
		"a field that is cut off":         {0x12, 0x05, 'a'},
		"a nested field that is cut off":  {0x0a, 0x02, 0x12, 0x05},
		"a length that is no number":      {0x0a, 0xff, 0xff},
		"the end of a group that is none": {0x0c},
	} {
		if got, err := (trimming{1: {2: nil}}).apply(nil, message); err == nil {
			t.Errorf("%s became %x", name, got)
		}
	}
}
