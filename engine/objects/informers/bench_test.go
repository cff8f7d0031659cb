package informers

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"gatehouse/engine/objects/cache"
)

// thousand is a house with 1,000 pods and as many bindings.
func thousand(b *testing.B) *house {
	h := newHouse(b, cache.Options{}, Options{})
	for i := range 1000 {
		name := fmt.Sprintf("n%03d", i)
		h.put(b, "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Subjects:   []rbacv1.Subject{{Kind: "User", Name: name}},
			RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"},
		})
		h.putPod(b, name, "Running")
	}
	return h
}

func BenchmarkThousandObjects(b *testing.B) {
	h := thousand(b)
	bindings, pods := h.Rbac().V1().ClusterRoleBindings(), h.Core().V1().Pods()
	lister := bindings.Lister()
	kept, bulk := bindings.Informer().GetIndexer(), pods.Informer().GetIndexer()
	for _, op := range []struct {
		name string
		run  func() int
	}{
		{"lister get of a kind kept whole", func() int { object, _ := lister.Get("n500"); return len(object.Name) }},
		{"store get of a kind kept whole", func() int {
			object, _, _ := kept.GetByKey("n500")
			return len(object.(*rbacv1.ClusterRoleBinding).Name)
		}},
		{"store list of a kind kept whole", func() int { return len(kept.List()) }},
		{"lister list of a kind kept whole", func() int { all, _ := lister.List(labels.Everything()); return len(all) }},
		{"revision", func() int { return int(kept.(interface{ Revision() int64 }).Revision()) }},
		{"store get of a bulk kind, at hand", func() int { object, _, _ := bulk.GetByKey("ns/n500"); return len(object.(*corev1.Pod).Name) }},
		{"store list of a bulk kind", func() int { return len(bulk.List()) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if op.run() == 0 {
					b.Fatal("found nothing")
				}
			}
		})
	}
}
