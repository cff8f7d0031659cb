package cluster

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// cascades deletes owners in each way there is.
func cascades(t *testing.T, c *cluster) {
	ns := c.namespace(t, "cascades")
	running := runs(3, "registry.example.org/web:1")
	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=3")
	await(t, c.core("pods", ns), running)

	c.kubectl(t, ns, "delete", "deployment", "web", "--cascade=orphan")
	await(t, c.apps("deployments", ns), none[*appsv1.Deployment])
	await(t, c.apps("replicasets", ns), func(all []*appsv1.ReplicaSet) error {
		return has(len(all) == 1 && len(all[0].OwnerReferences) == 0, "the orphans are %v", all)
	})
	await(t, c.core("pods", ns), running)
	orphan := c.kubectl(t, ns, "get", "replicasets", "--output=name")

	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=3")
	await(t, c.apps("replicasets", ns), func(all []*appsv1.ReplicaSet) error {
		return has(len(all) == 1 && metav1.GetControllerOf(all[0]) != nil, "the ReplicaSet is not adopted: %v", all)
	})
	if adopted := c.kubectl(t, ns, "get", "replicasets", "--output=name"); adopted != orphan {
		t.Errorf("the new Deployment has %s, want the orphan %s", adopted, orphan)
	}

	c.kubectl(t, ns, "delete", "deployment", "web", "--cascade=foreground")
	for what, left := range map[string]string{
		"replicasets": c.kubectl(t, ns, "get", "replicasets", "--output=name"),
		"pods":        c.kubectl(t, ns, "get", "pods", "--output=name"),
	} {
		if left != "" {
			t.Errorf("the owner was gone before its %s: %s", what, left)
		}
	}
}

// strayOwners refers to owners that nothing good can be done about.
func strayOwners(t *testing.T, c *cluster) {
	ns := c.namespace(t, "strays")
	owned := func(name string, owner metav1.Object) *corev1.ConfigMap {
		t.Helper()
		reference := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.GetName(), UID: owner.GetUID()}
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{reference}}}
		object, err := c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), object, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return object
	}
	without := func(names ...string) func([]*corev1.ConfigMap) error {
		return func(all []*corev1.ConfigMap) error {
			for _, object := range all {
				for _, name := range names {
					if object.Name == name {
						return fmt.Errorf("%s is still there", name)
					}
				}
			}
			return nil
		}
	}
	owned("of-nobody", &metav1.ObjectMeta{Name: "nobody", UID: types.UID("6c2ba1d4-0000-4000-8000-000000000000")})
	await(t, c.core("configmaps", ns), without("of-nobody"))

	maps := c.client.CoreV1().ConfigMaps(ns)
	first, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "first"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	second := owned("second", first)
	first.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: second.Name, UID: second.UID}}
	if _, err := maps.Update(t.Context(), first, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, ns, "delete", "configmap", "first", "--cascade=foreground", "--wait=false")
	await(t, c.core("configmaps", ns), without("first", "second")) // though they own each other
}

// namespaces are emptied, but not of what somebody still has to finish.
func namespaces(t *testing.T, c *cluster) {
	ns := c.namespace(t, "doomed")
	c.kubectl(t, ns, "create", "deployment", "web", "--image=registry.example.org/web:1", "--replicas=10")
	c.kubectl(t, ns, "expose", "deployment", "web", "--port=80")
	c.kubectl(t, ns, "create", "secret", "generic", "key", "--from-literal=key=value")
	c.kubectl(t, ns, "create", "role", "reader", "--verb=get", "--resource=pods")
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"example.org/hold"}}}
	held, err := c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), held, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	await(t, c.core("pods", ns), runs(10, "registry.example.org/web:1"))

	c.kubectl(t, "", "delete", "namespace", ns, "--wait=false")
	await(t, c.core("namespaces", ""), named(ns, func(namespace *corev1.Namespace) error {
		for _, condition := range namespace.Status.Conditions {
			if condition.Type == corev1.NamespaceFinalizersRemaining && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("it does not say that a finalizer remains: %v", namespace.Status.Conditions)
	}))
	await(t, c.core("pods", ns), none[*corev1.Pod])
	if _, err := c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late"}}, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("something new in a namespace that is deleted: %v, want it to be forbidden", err)
	}

	if _, err := c.client.CoreV1().ConfigMaps(ns).Patch(t.Context(), held.Name, types.MergePatchType,
		[]byte(`{"metadata": {"finalizers": null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, c.core("namespaces", ""), func(all []*corev1.Namespace) error {
		for _, namespace := range all {
			if namespace.Name == ns {
				return fmt.Errorf("it is still there: %v", namespace.Status.Conditions)
			}
		}
		return nil
	})
}

// quota is counted, and kept.
func quota(t *testing.T, c *cluster) {
	ns := c.namespace(t, "quota")
	c.kubectl(t, ns, "create", "quota", "all", "--hard=pods=10,services=2,requests.cpu=1,count/deployments.apps=3,count/secrets=4")
	uses := func(pods, services, cpu, deployments, secrets string) {
		t.Helper()
		want := map[corev1.ResourceName]string{
			"pods": pods, "services": services, "requests.cpu": cpu, "count/deployments.apps": deployments, "count/secrets": secrets,
		}
		await(t, c.core("resourcequotas", ns), named("all", func(quota *corev1.ResourceQuota) error {
			for name, amount := range want {
				if used := quota.Status.Used[name]; used.String() != amount {
					return fmt.Errorf("%s of %s are used, want %s", used.String(), name, amount)
				}
			}
			return nil
		}))
	}
	uses("0", "0", "0", "0", "0")
	c.kubectl(t, ns, "apply", "-f", "testdata/counted.yaml")
	uses("2", "1", "200m", "1", "1")
	for i := range 2 {
		_, err := c.client.CoreV1().Services(ns).Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("more-", i)}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"},
		}, metav1.CreateOptions{})
		if tooMany := i == 1; apierrors.IsForbidden(err) != tooMany || (err == nil) == tooMany {
			t.Errorf("creating Service %d of 2: %v", i+2, err)
		}
	}
	c.kubectl(t, ns, "delete", "service", "more-0")
	uses("2", "1", "200m", "1", "1")
	c.kubectl(t, ns, "delete", "-f", "testdata/counted.yaml")
	uses("0", "0", "0", "0", "0")
}
