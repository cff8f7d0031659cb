package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// eventually tries until there is no error, for as long as the test has.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = try()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, last)
	}
}

func TestNamespacesHaveAServiceAccountAndWhomToTrust(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	if _, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"default", "kube-system", "fresh"} {
		eventually(t, func() error {
			_, err := core.ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
			return err
		})
		eventually(t, func() error {
			published, err := core.ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			if err == nil && published.Data["ca.crt"] != string(server.pki.CAPEM()) {
				t.Errorf("%s is told to trust %q", namespace, published.Data["ca.crt"])
			}
			return err
		})
	}
	before, err := core.ServiceAccounts("fresh").Get(ctx, "default", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := core.ServiceAccounts("fresh").Delete(ctx, "default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		after, err := core.ServiceAccounts("fresh").Get(ctx, "default", metav1.GetOptions{})
		if err == nil && after.UID == before.UID {
			t.Error("the account was not deleted")
		}
		return err
	})
}

func TestSecretsForServiceAccountsAreFilledWithTokensThatLetIn(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	if _, err := core.ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "robot", Annotations: map[string]string{corev1.ServiceAccountNameKey: "robot"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}
	if _, err := core.Secrets("default").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var filled *corev1.Secret
	eventually(t, func() (err error) {
		if filled, err = core.Secrets("default").Get(ctx, "robot", metav1.GetOptions{}); err == nil && len(filled.Data[corev1.ServiceAccountTokenKey]) == 0 {
			err = context.DeadlineExceeded
		}
		return err
	})
	if diff := cmp.Diff(map[string]string{"namespace": "default", "ca.crt": string(server.pki.CAPEM())}, map[string]string{
		"namespace": string(filled.Data["namespace"]), "ca.crt": string(filled.Data["ca.crt"]),
	}); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	robot := rest.AnonymousClientConfig(server.Admin)
	robot.BearerToken = string(filled.Data[corev1.ServiceAccountTokenKey])
	client, err := kubernetes.NewForConfig(robot)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:default:robot") {
		t.Errorf("who comes with the token is told %v", err)
	}

	if err := core.ServiceAccounts("default").Delete(ctx, "robot", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := core.Secrets("default").Get(ctx, "robot", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return context.DeadlineExceeded
	})
}

// TestNamespacesGoWithAllThatIsInThem deletes one with 100 objects beside one that cannot go.
func TestNamespacesGoWithAllThatIsInThem(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	stuck, full := newFamily(t, core, "stuck"), newFamily(t, core, "full")
	stuck.memberWith(metav1.ObjectMeta{Name: "held", Finalizers: []string{"example.org/nobody"}})
	stuck.member("free")
	var writing sync.WaitGroup
	for i := range 25 {
		writing.Go(func() {
			name := fmt.Sprintf("o-%d", i)
			full.member(name)
			metadata := metav1.ObjectMeta{Name: name}
			for what, err := range map[string]error{
				"a Secret":  create(ctx, core.Secrets("full").Create, &corev1.Secret{ObjectMeta: metadata}),
				"a Service": create(ctx, core.Services("full").Create, &corev1.Service{ObjectMeta: metadata, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}),
				"a Pod": create(ctx, core.Pods("full").Create, &corev1.Pod{ObjectMeta: metadata, Spec: corev1.PodSpec{
					Containers: []corev1.Container{{Name: "c", Image: "i"}}}}),
			} {
				if err != nil {
					t.Errorf("create %s: %v", what, err)
				}
			}
		})
	}
	writing.Wait()
	if err := core.Namespaces().Delete(ctx, "stuck", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	full.end()
	t.Logf("a namespace with 100 objects was gone after %s", time.Since(began))

	stuck.gone("free")
	want := map[corev1.NamespaceConditionType]string{
		corev1.NamespaceDeletionDiscoveryFailure: "False ", corev1.NamespaceDeletionGVParsingFailure: "False ", corev1.NamespaceDeletionContentFailure: "False ",
		corev1.NamespaceContentRemaining:    "True Some resources are remaining: configmaps. has 1 resource instances",
		corev1.NamespaceFinalizersRemaining: "True Some content in the namespace has finalizers remaining: example.org/nobody in 1 resource instances",
	}
	eventually(t, func() error {
		namespace, err := core.Namespaces().Get(ctx, "stuck", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[corev1.NamespaceConditionType]string{}
		for _, condition := range namespace.Status.Conditions {
			got[condition.Type] = string(condition.Status) + " "
			if condition.Status == corev1.ConditionTrue {
				got[condition.Type] += condition.Message
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("conditions (-want +got):\n%s", diff)
		}
		return nil
	})
	stuck.release("held")
	eventually(t, func() error {
		_, err := core.Namespaces().Get(ctx, "stuck", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the namespace is still there"), err)
	})
}

// create creates an object and tells whether that went well.
func create[T any](ctx context.Context, do func(context.Context, T, metav1.CreateOptions) (T, error), object T) error {
	_, err := do(ctx, object, metav1.CreateOptions{})
	return err
}

func TestQuotasTellWhatIsUsed(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	f := newFamily(t, core, "limited")
	used := func(want map[corev1.ResourceName]string) {
		t.Helper()
		eventually(t, func() error {
			quota, err := core.ResourceQuotas("limited").Get(ctx, "quota", metav1.GetOptions{})
			if err != nil {
				return err
			}
			got := map[corev1.ResourceName]string{}
			for name, quantity := range quota.Status.Used {
				got[name] = quantity.String()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("used (-want +got):\n%s", diff)
			}
			return nil
		})
	}
	pod := func(name string) {
		t.Helper()
		if err := create(ctx, core.Pods("limited").Create, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")}}},
		}}}); err != nil {
			t.Fatal(err)
		}
	}
	pod("one")
	pod("two")
	leases := server.client(t).CoordinationV1().Leases("limited")
	if err := create(ctx, leases.Create, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "leader"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { _, err := f.maps.Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); return err })
	if err := create(ctx, core.ResourceQuotas("limited").Create, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "quota"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{"pods": resource.MustParse("10"), "requests.cpu": resource.MustParse("4"), "count/configmaps": resource.MustParse("9"),
			"count/leases.coordination.k8s.io": resource.MustParse("9")},
	}}); err != nil {
		t.Fatal(err)
	}
	used(map[corev1.ResourceName]string{"pods": "2", "requests.cpu": "500m", "count/configmaps": "1", "count/leases.coordination.k8s.io": "1"})
	if err := core.Pods("limited").Delete(ctx, "one", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	used(map[corev1.ResourceName]string{"pods": "1", "requests.cpu": "250m", "count/configmaps": "1", "count/leases.coordination.k8s.io": "1"})
	finished, err := core.Pods("limited").Get(ctx, "two", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	finished.Status.Phase = corev1.PodSucceeded
	if _, err := core.Pods("limited").UpdateStatus(ctx, finished, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	used(map[corev1.ResourceName]string{"pods": "0", "requests.cpu": "0", "count/configmaps": "1", "count/leases.coordination.k8s.io": "1"})
}

// TestQuotasCountWhatNobodyElseFollows has a quota of what no other part of the server has an informer of, after admission has been set up
// for another quota.
func TestQuotasCountWhatNobodyElseFollows(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	for _, namespace := range []string{"first", "second"} {
		newFamily(t, core, namespace)
		for _, counted := range []corev1.ResourceName{"configmaps", "replicationcontrollers", "secrets", "services", "persistentvolumeclaims", "resourcequotas"} {
			if namespace == "first" && counted != "configmaps" {
				continue
			}
			name := string(counted)
			if err := create(ctx, core.ResourceQuotas(namespace).Create, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{counted: resource.MustParse("20")}}}); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() error {
				quota, err := core.ResourceQuotas(namespace).Get(ctx, name, metav1.GetOptions{})
				if _, known := quota.Status.Used[counted]; err == nil && !known {
					err = fmt.Errorf("it is not known how many %s are used", name)
				}
				return err
			})
		}
		if err := create(ctx, core.ConfigMaps(namespace).Create, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "counted"}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClaimsInUseAreProtectedUntilTheyAreNot(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	core, ctx := server.client(t).CoreV1(), t.Context()
	if err := create(ctx, core.PersistentVolumeClaims("default").Create, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		claim, err := core.PersistentVolumeClaims("default").Get(ctx, "data", metav1.GetOptions{})
		if err == nil && len(claim.Finalizers) == 0 {
			err = errors.New("the claim is not protected")
		}
		return err
	})
	if err := create(ctx, core.Pods("default").Create, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "user"}, Spec: corev1.PodSpec{
		NodeName:   "node",
		Containers: []corev1.Container{{Name: "c", Image: "i"}},
		Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}},
	}}); err != nil {
		t.Fatal(err)
	}
	if err := core.PersistentVolumeClaims("default").Delete(ctx, "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	newFamily(t, core, "meanwhile").barrier()
	if _, err := core.PersistentVolumeClaims("default").Get(ctx, "data", metav1.GetOptions{}); err != nil {
		t.Errorf("a claim in use: %v", err)
	}
	if err := core.Pods("default").Delete(ctx, "user", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := core.PersistentVolumeClaims("default").Get(ctx, "data", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the claim is still there"), err)
	})
}

func TestFinishedJobsGoAfterTheirTime(t *testing.T) {
	server := serve(t, testConfig(t, t.TempDir()))
	jobs, ctx := server.client(t).BatchV1().Jobs("default"), t.Context()
	job, err := jobs.Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "done"}, Spec: batchv1.JobSpec{
		TTLSecondsAfterFinished: new(int32), Suspend: ptr.To(false),
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := metav1.Now()
	job.Status = batchv1.JobStatus{StartTime: &now, CompletionTime: &now, Succeeded: 1, UncountedTerminatedPods: &batchv1.UncountedTerminatedPods{}, Conditions: []batchv1.JobCondition{
		{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now},
	}}
	if _, err := jobs.UpdateStatus(ctx, job, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := jobs.Get(ctx, "done", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the Job is still there"), err)
	})
}

// TestLoopsCanBeLeftToAControllerManager has none of them run, and then one.
func TestLoopsCanBeLeftToAControllerManager(t *testing.T) {
	config := testConfig(t, t.TempDir())
	config.Controllers = []string{"external", "root-ca-certificate-publisher-controller"}
	server := serve(t, config)
	core, ctx := server.client(t).CoreV1(), t.Context()
	if err := create(ctx, core.Namespaces().Create, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := core.ConfigMaps("fresh").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
	if accounts, err := core.ServiceAccounts("").List(ctx, metav1.ListOptions{}); err != nil || len(accounts.Items) > 0 {
		t.Errorf("accounts that nobody should have made: %v, %v", accounts.Items, err)
	}
}

// TestEventsExpireAlsoWhenTheServerWasDown has one outlive its server.
func TestEventsExpireAlsoWhenTheServerWasDown(t *testing.T) {
	config := testConfig(t, t.TempDir())
	config.Events.TTL = 2 * time.Second
	server := serve(t, config)
	ctx := t.Context()
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "noted", Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "p"}, Reason: "Test", Type: corev1.EventTypeNormal,
	}
	if err := create(ctx, server.client(t).CoreV1().Events("default").Create, event); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	server = serve(t, config)
	eventually(t, func() error {
		_, err := server.client(t).CoreV1().Events("default").Get(ctx, "noted", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the event is still there"), err)
	})
}
