package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"gatehouse/tests/harness"
	"gatehouse/tests/manifests"
)

// requestToken asks for a token of a service account in the default namespace.
func requestToken(t *testing.T, client kubernetes.Interface, account string) string {
	t.Helper()
	seconds := int64(600)
	token, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).CreateToken(t.Context(), account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// TestWritesThatAreDry do all but write.
func TestWritesThatAreDry(t *testing.T) {
	client := typed(t, harness.Start(t, harness.Options{Flags: undisturbed()}).ClientConfig())
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	dry := []string{metav1.DryRunAll}
	before := createMap(t, maps, "there")

	created, err := maps.Create(t.Context(), configMap("dry", nil), metav1.CreateOptions{DryRun: dry})
	if err != nil || created.UID == "" || created.CreationTimestamp.IsZero() {
		t.Errorf("create: got %v, %v, want what would be", created, err)
	}
	if _, err := maps.Create(t.Context(), configMap("there", nil), metav1.CreateOptions{DryRun: dry}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("create what exists: got %v, want that it does", err)
	}
	changed := before.DeepCopy()
	changed.Data = map[string]string{"a": "b"}
	if updated, err := maps.Update(t.Context(), changed, metav1.UpdateOptions{DryRun: dry}); err != nil || updated.Data["a"] != "b" {
		t.Errorf("update: got %v, %v, want what would be", updated, err)
	}
	if patched, err := maps.Patch(t.Context(), "there", types.MergePatchType, []byte(`{"data":{"a":"b"}}`),
		metav1.PatchOptions{DryRun: dry}); err != nil || patched.Data["a"] != "b" {
		t.Errorf("patch: got %v, %v, want what would be", patched, err)
	}
	if applied, err := maps.Apply(t.Context(), corev1apply.ConfigMap("new", "default"),
		metav1.ApplyOptions{DryRun: dry, FieldManager: "m"}); err != nil || applied.Name != "new" {
		t.Errorf("apply: got %v, %v, want what would be", applied, err)
	}
	if err := maps.Delete(t.Context(), "there", metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Errorf("delete: %v", err)
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{
		ClusterIP: "10.96.3.3", Ports: []corev1.ServicePort{{Port: 80}}}}
	for range 2 { // the address is not taken by the first
		if _, err := client.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{DryRun: dry}); err != nil {
			t.Errorf("create a service: %v", err)
		}
	}
	list, err := maps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].ResourceVersion != before.ResourceVersion {
		t.Errorf("dry runs left %v", list)
	}
}

// TestWritesGiveNamesAndMindPreconditions covers what is decided as an object is stored.
func TestWritesGiveNamesAndMindPreconditions(t *testing.T) {
	client := typed(t, harness.Start(t, harness.Options{}).ClientConfig())
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	t.Run("a name is generated, another each time", func(t *testing.T) {
		seen := map[string]bool{}
		for range 5 {
			created, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "some-"}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(created.Name, "some-") || seen[created.Name] {
				t.Errorf("got the name %s", created.Name)
			}
			seen[created.Name] = true
		}
	})
	t.Run("another of that name is not deleted", func(t *testing.T) {
		first := createMap(t, maps, "twice")
		if err := maps.Delete(t.Context(), "twice", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		second := createMap(t, maps, "twice")
		if first.UID == second.UID {
			t.Errorf("both have the UID %s", first.UID)
		}
		preconditions := &metav1.Preconditions{UID: &first.UID}
		if err := maps.Delete(t.Context(), "twice", metav1.DeleteOptions{Preconditions: preconditions}); !apierrors.IsConflict(err) {
			t.Errorf("got %v, want a conflict", err)
		}
		preconditions = &metav1.Preconditions{UID: &second.UID, ResourceVersion: &second.ResourceVersion}
		if err := maps.Delete(t.Context(), "twice", metav1.DeleteOptions{Preconditions: preconditions}); err != nil {
			t.Error(err)
		}
	})
	t.Run("an update that changes nothing is no write", func(t *testing.T) {
		created := createMap(t, maps, "same")
		updated, err := maps.Update(t.Context(), created, metav1.UpdateOptions{})
		if err != nil || updated.ResourceVersion != created.ResourceVersion {
			t.Errorf("got %v, %v, want it at %s", updated, err, created.ResourceVersion)
		}
	})
	t.Run("a counter that all raise is raised by all", func(t *testing.T) { raiseTogether(t, client) })
}

// raiseTogether has clients raise one counter by optimistic updates.
func raiseTogether(t *testing.T, client kubernetes.Interface) {
	const clients, each = 8, 10
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	createMap(t, maps, "counter")
	failures := make(chan error, clients)
	for range clients {
		go func() {
			for raised := 0; raised < each; {
				counter, err := maps.Get(t.Context(), "counter", metav1.GetOptions{})
				if err != nil {
					failures <- err
					return
				}
				var n int
				_, _ = fmt.Sscan(counter.Data["n"], &n) // empty at first
				counter.Data = map[string]string{"n": fmt.Sprint(n + 1)}
				switch _, err := maps.Update(t.Context(), counter, metav1.UpdateOptions{}); {
				case err == nil:
					raised++
				case !apierrors.IsConflict(err):
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	for range clients {
		if err := <-failures; err != nil {
			t.Fatal(err)
		}
	}
	counter, err := maps.Get(t.Context(), "counter", metav1.GetOptions{})
	if err != nil || counter.Data["n"] != fmt.Sprint(clients*each) {
		t.Errorf("got %v, %v, want %d", counter, err, clients*each)
	}
}

// TestSubresourcesOfPods binds, adds a container, evicts.
func TestSubresourcesOfPods(t *testing.T) {
	client := typed(t, inProtobuf(harness.Start(t, harness.Options{}).ClientConfig()))
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	labels := map[string]string{"app": "web"}
	if _, err := pods.Create(t.Context(), pod("web", labels), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Target: corev1.ObjectReference{Kind: "Node", Name: "edge-1"}}
	if err := pods.Bind(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := pods.Bind(t.Context(), binding, metav1.CreateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("binding twice: got %v, want a conflict", err)
	}
	bound, err := pods.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if bound.Spec.NodeName != "edge-1" {
		t.Errorf("the pod is on %q, want edge-1", bound.Spec.NodeName)
	}
	bound.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "tools", Image: "registry.example.org/tools:1", TerminationMessagePolicy: corev1.TerminationMessageReadFile}}}
	if _, err := pods.Update(t.Context(), bound, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("adding an ephemeral container by an update: got %v, want it invalid", err)
	}
	if bound, err = pods.UpdateEphemeralContainers(t.Context(), "web", bound, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	bound.Status.Phase = corev1.PodRunning
	bound.Status.Conditions = append(bound.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	if _, err := pods.UpdateStatus(t.Context(), bound, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	evict(t, client, labels)
}

// evict tries it with a budget that does not allow it, and with one that does.
func evict(t *testing.T, client kubernetes.Interface, labels map[string]string) {
	one := intstr.FromInt32(1)
	budgets := client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault)
	budget, err := budgets.Create(t.Context(), &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "web"}}
	// Without retries: the client would come back again and again, as it is told to.
	refused := client.CoreV1().RESTClient().Post().Namespace(metav1.NamespaceDefault).Resource("pods").Name("web").SubResource("eviction").
		Body(eviction).MaxRetries(0).Do(t.Context()).Error()
	if !apierrors.IsTooManyRequests(refused) {
		t.Errorf("evicting against the budget: got %v, want it refused for now", refused)
	}
	budget.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: budget.Generation, DisruptionsAllowed: 1, CurrentHealthy: 2,
		DesiredHealthy: 1, ExpectedPods: 2}
	if _, err := budgets.UpdateStatus(t.Context(), budget, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	if err := pods.EvictV1(t.Context(), eviction); err != nil {
		t.Error(err)
	}
	evicted, err := pods.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || evicted.DeletionTimestamp == nil {
		t.Errorf("got %v, %v, want a pod that is going", evicted, err)
	}
}

// TestSigningRequestsAreApproved goes through approval and status, each of which can only change what is its own.
func TestSigningRequestsAreApproved(t *testing.T) {
	client := typed(t, harness.Start(t, harness.Options{}).ClientConfig())
	requests := client.CertificatesV1().CertificateSigningRequests()
	request := new(certificatesv1.CertificateSigningRequest)
	fromManifest(t, "CertificateSigningRequest", request)
	created, err := requests.Create(t.Context(), request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if created.Spec.Username == "" || len(created.Spec.Groups) == 0 {
		t.Errorf("the request does not say who made it: %v", created.Spec)
	}
	approval := certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
		Reason: "Known", Message: "It is ours."}
	created.Status.Conditions = append(created.Status.Conditions, approval)
	if updated, err := requests.UpdateStatus(t.Context(), created, metav1.UpdateOptions{}); err == nil && len(updated.Status.Conditions) > 0 {
		t.Error("an update of the status approved the request")
	}
	if created, err = requests.Get(t.Context(), created.Name, metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	created.Status.Conditions = append(created.Status.Conditions, approval)
	approved, err := requests.UpdateApproval(t.Context(), created.Name, created, metav1.UpdateOptions{})
	if err != nil || len(approved.Status.Conditions) != 1 {
		t.Fatalf("got %v, %v, want an approved request", approved, err)
	}
}

// fromManifest reads the manifest of a kind into an object.
func fromManifest(t *testing.T, kind string, into any) {
	t.Helper()
	objects, err := manifests.Stored()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		text, err := object.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no manifest has the kind %s", kind)
}
