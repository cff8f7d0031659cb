package admission

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
)

// TestEachMemberThatIsOnByDefaultDoesItsWork has a case for each that fails if the member is left out. NodeRestriction, webhooks and
// policies have tests of their own.
func TestEachMemberThatIsOnByDefaultDoesItsWork(t *testing.T) {
	w := start(t)
	for member, test := range map[string]func(*testing.T, *world){
		"NamespaceLifecycle":           namespaceLifecycle,
		"LimitRanger":                  limitRanger,
		"ServiceAccount":               serviceAccount,
		"TaintNodesByCondition":        taintNodes,
		"PodSecurity":                  podSecurity,
		"Priority":                     priority,
		"DefaultTolerationSeconds":     defaultTolerations,
		"DefaultStorageClass":          defaultStorageClass,
		"StorageObjectInUseProtection": inUseProtection,
		"PersistentVolumeClaimResize":  resize,
		"RuntimeClass":                 runtimeClass,
		"CertificateApproval":          approval,
		"CertificateSubjectRestriction": func(t *testing.T, w *world) {
			mustRefuse(t, w.CertificatesV1().CertificateSigningRequests().Create, signingRequest(t, "masters", "system:masters"),
				"use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
		},
		"DefaultIngressClass": defaultIngressClass,
		"PodTopologyLabels":   topologyLabels,
		"ResourceQuota":       resourceQuota,
	} {
		t.Run(member, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

func namespaceLifecycle(t *testing.T, w *world) {
	mustRefuse(t, w.CoreV1().ConfigMaps("nowhere").Create, settings("a", nil), `namespaces "nowhere" not found`)
	err := w.CoreV1().Namespaces().Delete(t.Context(), "kube-system", metav1.DeleteOptions{})
	wantError(t, err, `namespaces "kube-system" is forbidden: this namespace may not be deleted`)
}

func limitRanger(t *testing.T, w *world) {
	ns := w.namespace(t, "limits", nil)
	mustMake(t, w.CoreV1().LimitRanges(ns).Create, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "limits"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Default: amounts("cpu", "500m"), Max: amounts("cpu", "1"),
		}}},
	})
	// The very next write is held to it.
	made := mustMake(t, w.CoreV1().Pods(ns).Create, pod("default", nil))
	if limit := made.Spec.Containers[0].Resources.Limits.Cpu().String(); limit != "500m" {
		t.Errorf("the limit by default is %s, want 500m", limit)
	}
	mustRefuse(t, w.CoreV1().Pods(ns).Create, pod("large", func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Limits = amounts("cpu", "2")
	}), "maximum cpu usage per Container is 1, but limit is 2")
	// Elsewhere there is no limit.
	made = mustMake(t, w.CoreV1().Pods("default").Create, pod("unlimited", nil))
	if len(made.Spec.Containers[0].Resources.Limits) > 0 {
		t.Errorf("a pod in another namespace has limits %v", made.Spec.Containers[0].Resources.Limits)
	}
}

func serviceAccount(t *testing.T, w *world) {
	ns := w.namespace(t, "accounts", nil)
	mustMake(t, w.CoreV1().ServiceAccounts(ns).Create, &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "puller"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}},
	})
	made := mustMake(t, w.CoreV1().Pods(ns).Create, pod("plain", nil))
	mounts := made.Spec.Containers[0].VolumeMounts
	if made.Spec.ServiceAccountName != "default" || len(mounts) != 1 || mounts[0].MountPath != "/var/run/secrets/kubernetes.io/serviceaccount" {
		t.Errorf("account %q, mounts %v; want default's token mounted", made.Spec.ServiceAccountName, mounts)
	}
	made = mustMake(t, w.CoreV1().Pods(ns).Create, pod("pulling", func(p *corev1.Pod) { p.Spec.ServiceAccountName = "puller" }))
	if secrets := made.Spec.ImagePullSecrets; len(secrets) != 1 || secrets[0].Name != "registry" {
		t.Errorf("the pod pulls with %v, want its account's registry", secrets)
	}
	mustRefuse(t, w.CoreV1().Pods(ns).Create, pod("stray", func(p *corev1.Pod) { p.Spec.ServiceAccountName = "nobody" }),
		`pods "stray" is forbidden: error looking up service account accounts/nobody: serviceaccount "nobody" not found`)
}

func taintNodes(t *testing.T, w *world) {
	made := mustMake(t, w.CoreV1().Nodes().Create, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "new"}})
	if taints := made.Spec.Taints; len(taints) != 1 || taints[0].Key != corev1.TaintNodeNotReady {
		t.Errorf("a new node has taints %v, want %s", taints, corev1.TaintNodeNotReady)
	}
}

func podSecurity(t *testing.T, w *world) {
	privileged := func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	}
	enforced := w.namespace(t, "enforced", map[string]string{"pod-security.kubernetes.io/enforce": "baseline"})
	mustRefuse(t, w.CoreV1().Pods(enforced).Create, pod("bad", privileged),
		`pods "bad" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`)
	mustMake(t, w.CoreV1().Pods(enforced).Create, pod("good", nil))

	warned := w.namespace(t, "warned", map[string]string{"pod-security.kubernetes.io/warn": "baseline"})
	mustMake(t, w.CoreV1().Pods(warned).Create, pod("bad", privileged))
	const warning = `would violate PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`
	if texts := w.warnings.take(); !slices.Contains(texts, warning) {
		t.Errorf("warnings are %q, want %q among them", texts, warning)
	}
	// Whoever tightens a namespace is told who is in the way.
	patch := []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}`)
	if _, err := w.CoreV1().Namespaces().Patch(t.Context(), warned, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if texts := strings.Join(w.warnings.take(), "\n"); !strings.Contains(texts, "bad: privileged") {
		t.Errorf("warnings are %q, want the pod that is in the way among them", texts)
	}
}

func priority(t *testing.T, w *world) {
	mustMake(t, w.SchedulingV1().PriorityClasses().Create, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 1000})
	made := mustMake(t, w.CoreV1().Pods("default").Create, pod("high", func(p *corev1.Pod) { p.Spec.PriorityClassName = "high" }))
	if made.Spec.Priority == nil || *made.Spec.Priority != 1000 {
		t.Errorf("priority is %v, want 1000", made.Spec.Priority)
	}
	mustRefuse(t, w.CoreV1().Pods("default").Create, pod("higher", func(p *corev1.Pod) { p.Spec.PriorityClassName = "higher" }),
		"no PriorityClass with name higher was found")
}

func defaultTolerations(t *testing.T, w *world) {
	made := mustMake(t, w.CoreV1().Pods("default").Create, pod("tolerant", nil))
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if !slices.ContainsFunc(made.Spec.Tolerations, func(o corev1.Toleration) bool { return o.Key == key && *o.TolerationSeconds == 300 }) {
			t.Errorf("tolerations are %v, want %s for 300 s among them", made.Spec.Tolerations, key)
		}
	}
}

// class is a storage class that is the default one, and lets claims grow.
func class(name string) *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "example.org/disk", AllowVolumeExpansion: ptr.To(true),
	}
}

func claim(name string, class *string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: class,
			Resources: corev1.VolumeResourceRequirements{Requests: amounts("storage", "1Gi")},
		},
	}
}

func defaultStorageClass(t *testing.T, w *world) {
	standard := class("standard")
	standard.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	mustMake(t, w.StorageV1().StorageClasses().Create, standard)
	made := mustMake(t, w.CoreV1().PersistentVolumeClaims("default").Create, claim("any", nil))
	if ptr.Deref(made.Spec.StorageClassName, "") != "standard" {
		t.Errorf("the class of a claim that names none is %v, want standard", made.Spec.StorageClassName)
	}
}

func inUseProtection(t *testing.T, w *world) {
	made := mustMake(t, w.CoreV1().PersistentVolumeClaims("default").Create, claim("used", ptr.To("")))
	if !slices.Contains(made.Finalizers, "kubernetes.io/pvc-protection") {
		t.Errorf("a claim's finalizers are %v, want kubernetes.io/pvc-protection", made.Finalizers)
	}
}

func resize(t *testing.T, w *world) {
	mustMake(t, w.StorageV1().StorageClasses().Create, class("growing"))
	fixed := class("fixed")
	fixed.AllowVolumeExpansion = nil
	mustMake(t, w.StorageV1().StorageClasses().Create, fixed)
	for name, want := range map[string]string{"growing": "", "fixed": "only dynamically provisioned pvc can be resized"} {
		claims := w.CoreV1().PersistentVolumeClaims("default")
		mustMake(t, claims.Create, claim(name, &name))
		// Patches, for the claim's protection writes to it, too.
		patch := func(change string, subresources ...string) error {
			_, err := claims.Patch(t.Context(), name, types.MergePatchType, []byte(change), metav1.PatchOptions{}, subresources...)
			return err
		}
		if err := patch(`{"spec":{"volumeName":"volume"}}`); err != nil {
			t.Fatal(err)
		}
		if err := patch(`{"status":{"phase":"Bound","capacity":{"storage":"1Gi"}}}`, "status"); err != nil {
			t.Fatal(err)
		}
		err := patch(`{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`)
		if want == "" && err != nil {
			t.Errorf("grow a claim of class %s: %v", name, err)
		}
		if want != "" {
			wantError(t, err, want)
		}
	}
}

func runtimeClass(t *testing.T, w *world) {
	mustMake(t, w.NodeV1().RuntimeClasses().Create, &nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: "virtual"}, Handler: "kata", Overhead: &nodev1.Overhead{PodFixed: amounts("memory", "64Mi")},
	})
	made := mustMake(t, w.CoreV1().Pods("default").Create, pod("virtual", func(p *corev1.Pod) { p.Spec.RuntimeClassName = ptr.To("virtual") }))
	if overhead := made.Spec.Overhead.Memory().String(); overhead != "64Mi" {
		t.Errorf("overhead is %s, want 64Mi", overhead)
	}
	mustRefuse(t, w.CoreV1().Pods("default").Create, pod("odd", func(p *corev1.Pod) { p.Spec.RuntimeClassName = ptr.To("odd") }),
		`pod rejected: RuntimeClass "odd" not found`)
}

func defaultIngressClass(t *testing.T, w *world) {
	mustMake(t, w.NetworkingV1().IngressClasses().Create, &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: "front", Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
		Spec:       networkingv1.IngressClassSpec{Controller: "example.org/front"},
	})
	made := mustMake(t, w.NetworkingV1().Ingresses("default").Create, &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}},
		}},
	})
	if ptr.Deref(made.Spec.IngressClassName, "") != "front" {
		t.Errorf("the class of an Ingress that names none is %v, want front", made.Spec.IngressClassName)
	}
}

func topologyLabels(t *testing.T, w *world) {
	mustMake(t, w.CoreV1().Nodes().Create, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "zoned", Labels: map[string]string{corev1.LabelTopologyZone: "north"},
	}})
	mustMake(t, w.CoreV1().Pods("default").Create, pod("placed", nil))
	err := w.CoreV1().Pods("default").Bind(t.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: "placed"}, Target: corev1.ObjectReference{Kind: "Node", Name: "zoned"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	placed, err := w.CoreV1().Pods("default").Get(t.Context(), "placed", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if zone := placed.Labels[corev1.LabelTopologyZone]; zone != "north" {
		t.Errorf("the pod's zone is %q, want its node's, north", zone)
	}
}

func approval(t *testing.T, w *world) {
	// Jane may update approvals, but not approve for this signer.
	mustMake(t, w.RbacV1().ClusterRoles().Create, role("approvals", "update", "certificates.k8s.io", "certificatesigningrequests/approval"))
	mustMake(t, w.RbacV1().ClusterRoleBindings().Create, binding("approvals", "jane"))
	requests := w.CertificatesV1().CertificateSigningRequests()
	made := mustMake(t, requests.Create, signingRequest(t, "jane", "team"))
	made.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Because", Message: "I may not",
	}}
	_, err := w.as(t, "jane").CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), "jane", made, metav1.UpdateOptions{})
	wantError(t, err, `user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"`)
	if _, err := requests.UpdateApproval(t.Context(), "jane", made, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
}

func resourceQuota(t *testing.T, w *world) {
	ns := w.namespace(t, "quotas", nil)
	w.quota(t, ns, amounts("pods", "2", "count/secrets", "0"))
	// However many come at once, two get in.
	results := make(chan error)
	names := []string{"a", "b", "c", "d", "e", "f"}
	for _, name := range names {
		go func() {
			_, err := w.CoreV1().Pods(ns).Create(t.Context(), pod(name, nil), metav1.CreateOptions{})
			results <- err
		}()
	}
	accepted := 0
	for range names {
		switch err := <-results; {
		case err == nil:
			accepted++
		case !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2"):
			t.Errorf("unexpected error: %v", err)
		}
	}
	if accepted != 2 {
		t.Errorf("%d pods were accepted, want 2", accepted)
	}
	mustRefuse(t, w.CoreV1().Secrets(ns).Create, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, "exceeded quota: few")
}

// quota makes the quota few of a namespace in which there is nothing that it counts yet, and says so in its status, as a controller
// does sooner or later.
func (w *world) quota(t *testing.T, ns string, hard corev1.ResourceList) {
	t.Helper()
	quotas := w.CoreV1().ResourceQuotas(ns)
	mustMake(t, quotas.Create, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "few"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}})
	used := corev1.ResourceList{}
	for name := range hard {
		used[name] = resource.MustParse("0")
	}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		quota, err := quotas.Get(t.Context(), "few", metav1.GetOptions{})
		if err != nil {
			return err
		}
		quota.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: used}
		_, err = quotas.UpdateStatus(t.Context(), quota, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func role(name, verb, group, resource string) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{
		Verbs: []string{verb}, APIGroups: []string{group}, Resources: []string{resource},
	}}}
}

func binding(name, user string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}}
}

// signingRequest asks for a certificate of a client in a group.
func signingRequest(t *testing.T, name, group string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.CertificateRequest{Subject: pkix.Name{CommonName: name, Organization: []string{group}}}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}
}
