package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"gatehouse/tests/harness"
)

// TestTypedClientsInEveryEncoding does the same with JSON and protobuf, and compares what they see.
func TestTypedClientsInEveryEncoding(t *testing.T) {
	config := harness.Start(t, harness.Options{}).ClientConfig()
	json, protobuf := typed(t, config), typed(t, inProtobuf(config))

	t.Run("a client in JSON can do everything", func(t *testing.T) { doEverything(t, json, "json") })
	t.Run("a client in protobuf can do everything", func(t *testing.T) { doEverything(t, protobuf, "protobuf") })
	ours := metav1.ListOptions{FieldSelector: "metadata.name=settings"}
	t.Run("both see the same", func(t *testing.T) {
		inJSON, err := json.CoreV1().ConfigMaps(metav1.NamespaceAll).List(t.Context(), ours)
		if err != nil {
			t.Fatal(err)
		}
		inProtobuf, err := protobuf.CoreV1().ConfigMaps(metav1.NamespaceAll).List(t.Context(), ours)
		if err != nil {
			t.Fatal(err)
		}
		if len(inJSON.Items) != 2 {
			t.Errorf("got %d ConfigMaps, want one of each client", len(inJSON.Items))
		}
		if diff := cmp.Diff(inJSON.Items, inProtobuf.Items); diff != "" {
			t.Errorf("JSON and protobuf differ (-json +protobuf):\n%s", diff)
		}
	})
	t.Run("metadata alone is the same metadata", func(t *testing.T) {
		client, err := metadata.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		only, err := client.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).List(t.Context(), ours)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := json.CoreV1().ConfigMaps(metav1.NamespaceAll).List(t.Context(), ours)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole.Items {
			if diff := cmp.Diff(whole.Items[i].ObjectMeta, only.Items[i].ObjectMeta); diff != "" {
				t.Errorf("metadata differs (-whole +alone):\n%s", diff)
			}
		}
	})
}

func doEverything(t *testing.T, client kubernetes.Interface, namespace string) {
	ctx := t.Context()
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	maps := client.CoreV1().ConfigMaps(namespace)
	events, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=settings"}) // the server makes ConfigMaps itself
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()

	created, err := maps.Create(ctx, configMap("settings", map[string]string{"colour": "red"}), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantSeen(t, events, watch.Added, created)
	created.BinaryData = map[string][]byte{"logo": {0, 1, 0xff}}
	updated, err := maps.Update(ctx, created, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantSeen(t, events, watch.Modified, updated)
	if _, err := maps.Update(ctx, created, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("updating an old version: got %v, want a conflict", err)
	}
	patched, err := maps.Patch(ctx, "settings", types.StrategicMergePatchType, []byte(`{"data":{"size":"7"}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantSeen(t, events, watch.Modified, patched)
	read, err := maps.Get(ctx, "settings", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(patched, read); diff != "" {
		t.Errorf("what is read is not what was written (-written +read):\n%s", diff)
	}
	doToDeployment(t, client, namespace)
	if _, err := maps.Get(ctx, "nobody", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("reading what is not there: got %v, want not found", err)
	}
}

// doToDeployment uses what a ConfigMap has not: apply, scale, status.
func doToDeployment(t *testing.T, client kubernetes.Interface, namespace string) {
	ctx := t.Context()
	deployments := client.AppsV1().Deployments(namespace)
	labels := map[string]string{"app": "web"}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("", nil).Spec},
	}}
	if _, err := deployments.Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	applied, err := deployments.Apply(ctx, appsapply.Deployment("web", namespace).
		WithSpec(appsapply.DeploymentSpec().WithReplicas(3)), metav1.ApplyOptions{FieldManager: "scaler", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	scale, err := deployments.GetScale(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if scale.Spec.Replicas != 3 || scale.Status.Selector != "app=web" || scale.ResourceVersion != applied.ResourceVersion {
		t.Errorf("got the scale %v, want 3 replicas of app=web at %s", scale, applied.ResourceVersion)
	}
	scale.Spec.Replicas = 5
	if _, err := deployments.UpdateScale(ctx, "web", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	current, err := deployments.Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	current.Spec.Paused = true
	current.Status.Replicas = 4
	status, err := deployments.UpdateStatus(ctx, current, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if *status.Spec.Replicas != 5 || status.Spec.Paused || status.Status.Replicas != 4 {
		t.Errorf("an update of the status changed the spec, or not the status: %v", status)
	}
}

// wantSeen fails unless the next event has the object as it was answered.
func wantSeen(t *testing.T, events watch.Interface, want watch.EventType, object *corev1.ConfigMap) {
	t.Helper()
	event := next(t, events)
	if event.Type != want {
		t.Fatalf("got the event %s %v, want %s", event.Type, event.Object, want)
	}
	if diff := cmp.Diff(object, event.Object); diff != "" {
		t.Errorf("the event has not what was answered (-answered +event):\n%s", diff)
	}
}
