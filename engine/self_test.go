package engine

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"gatehouse/engine/config"
)

// selfPodOf waits for the server's Pod to be seen as it should be.
func selfPodOf(t *testing.T, client kubernetes.Interface, seen func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		var err error
		pod, err = client.CoreV1().Pods(metav1.NamespaceSystem).Get(ctx, selfPodName(), metav1.GetOptions{})
		return err == nil && seen(pod), nil
	})
	if err != nil {
		t.Fatalf("the server's pod is not as it should be: %v\n%v", err, pod)
	}
	return pod
}

func runs(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning && len(pod.Status.ContainerStatuses) == 1
}

// TestTheServersPodIsNobodysToDelete holds what keeps the controllers of a cluster from doing so, and the scheduler from looking for
// a node: it is bound to none, and to be scheduled by nobody.
func TestTheServersPodIsNobodysToDelete(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	pod := selfPodOf(t, server.client(t), runs)
	if pod.Spec.NodeName != "" {
		t.Errorf("it is bound to node %q, which is not there: the pod garbage collector deletes such pods", pod.Spec.NodeName)
	}
	if pod.Spec.SchedulerName == corev1.DefaultSchedulerName {
		t.Error("the default scheduler would look for a node")
	}
	if len(pod.OwnerReferences) > 0 || pod.Spec.ServiceAccountName != "" || len(pod.Spec.Volumes) > 0 {
		t.Errorf("it depends on others: %v", pod.Spec)
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			t.Errorf("condition %s is %s", condition.Type, condition.Status)
		}
	}
}

func TestTheServersPodSurvivesWhatIsDoneToIt(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, testConfig(t, dir))
	client := server.client(t)
	pods := client.CoreV1().Pods(metav1.NamespaceSystem)
	first := selfPodOf(t, client, runs)

	if err := pods.Delete(t.Context(), first.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	second := selfPodOf(t, client, func(pod *corev1.Pod) bool { return pod.UID != first.UID && runs(pod) })

	second.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}
	if _, err := pods.UpdateStatus(t.Context(), second, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	third := selfPodOf(t, client, runs)
	if third.Status.Reason != "" {
		t.Errorf("reason is %s still", third.Status.Reason)
	}
	server.Stop()

	for restarts := range int32(3) {
		again := serve(t, testConfig(t, dir))
		selfPodOf(t, again.client(t), func(pod *corev1.Pod) bool {
			return runs(pod) && pod.Status.ContainerStatuses[0].RestartCount == restarts+1
		})
		list, err := again.client(t).CoreV1().Pods(metav1.NamespaceSystem).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			t.Errorf("after %d more starts there are %d pods, %v", restarts+1, len(list.Items), err)
		}
		again.Stop()
	}
}

func TestTheServersLogEndsWithItsReaders(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	client := server.client(t)
	selfPodOf(t, client, runs)
	if _, err := io.WriteString(server.recent, "hello\n"); err != nil {
		t.Fatal(err)
	}
	tail := int64(1)
	stream, err := client.CoreV1().Pods(metav1.NamespaceSystem).GetLogs(selfPodName(), &corev1.PodLogOptions{Follow: true, TailLines: &tail}).
		Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	got := make([]byte, 6)
	if _, err := io.ReadFull(stream, got); err != nil || string(got) != "hello\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	server.Stop() // which waits for what is under way
	if rest, err := io.ReadAll(stream); len(rest) > 0 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the server has stopped: %q, %v", rest, err)
	}
}

func TestAPodThatOnlyHasTheServersNameIsItsNodes(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	client := server.client(t)
	selfPodOf(t, client, runs)
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: selfPodName()}, Spec: corev1.PodSpec{
		NodeName: "edge", Containers: []corev1.Container{{Name: "app", Image: "none"}},
	}}
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := pods.Create(ctx, other, metav1.CreateOptions{})
		return err == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	response, body := do(t, server.admin(t), http.MethodGet, server.URL+"/api/v1/namespaces/default/pods/"+other.Name+"/log", "")
	if response.StatusCode != http.StatusNotFound || !strings.Contains(body, `\"edge\" not found`) {
		t.Errorf("got %s %s, want that there is no such node", response.Status, body)
	}
}

// TestTheConfigurationIsShownWithoutSecrets loads what is shown, which must give what the server runs with, but for what is left out.
func TestTheConfigurationIsShownWithoutSecrets(t *testing.T) {
	settings := testConfig(t, t.TempDir())
	settings.Plugins.Configurations = map[string]config.PluginConfiguration{
		"absent": {YAML: []byte("failurePolicy: Ignore\nsettings: {apiKey: hush-hush}\n")},
	}
	server := serve(t, settings)
	var found *corev1.ConfigMap
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		var err error
		found, err = server.client(t).CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, selfName, metav1.GetOptions{})
		return err == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text := found.Data[configurationKey]
	if strings.Contains(text, "hush-hush") {
		t.Error("the settings of a plugin are shown to everybody who may read the config map")
	}
	hidden, err := settings.WithoutSecrets()
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Format(hidden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(configurationPreface+string(want), text); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTheServerIsNoKubeletOfItsOwn has a node say that its kubelet is where the server listens, which would answer whatever comes by the
// certificate for kubelets as if somebody asked who may do everything.
func TestTheServerIsNoKubeletOfItsOwn(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	node, err := core.Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "mirror"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	listens, err := netip.ParseAddrPort(strings.TrimPrefix(server.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: listens.Addr().String()}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(listens.Port())
	if _, err := core.Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	err = create(ctx, core.Pods(metav1.NamespaceDefault).Create, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{
		NodeName: "mirror", Containers: []corev1.Container{{Name: "c", Image: "i"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = core.Pods(metav1.NamespaceDefault).GetLogs("web", &corev1.PodLogOptions{}).Stream(ctx)
	if err == nil || !strings.Contains(err.Error(), "this server is where the node says that its kubelet is") {
		t.Errorf("got %v", err)
	}
}
