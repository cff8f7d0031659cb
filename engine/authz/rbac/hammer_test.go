package rbac

import (
	"fmt"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// TestHammer has many bind and unbind users of their own, in one namespace and in the cluster, and ask after each write.
func TestHammer(t *testing.T) {
	const writers, rounds = 8, 150
	p := newPolicy()
	p.clusterRoles.put(t, reader())
	a := New(p)
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			name := fmt.Sprint("user-", w)
			inCluster := binding(name, name)
			inNamespace := &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Subjects: inCluster.Subjects, RoleRef: inCluster.RoleRef,
			}
			kind, object := p.clusterBindings, metav1.Object(inCluster)
			if w%2 == 0 {
				kind, object = p.bindings, inNamespace
			}
			for range rounds {
				kind.put(t, object)
				if got := decision(t, a, getPod(name)); got != authorizer.DecisionAllow {
					t.Errorf("%s is bound and may not: %v", name, got)
				}
				kind.delete(t, object)
				if got := decision(t, a, getPod(name)); got != authorizer.DecisionNoOpinion {
					t.Errorf("%s is not bound and may: %v", name, got)
				}
			}
		})
	}
	running.Wait()
}
