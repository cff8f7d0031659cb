package rbac

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	rbacinformers "k8s.io/client-go/informers/rbac/v1"
	"k8s.io/client-go/kubernetes"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
	upstream "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// policy is informers whose indexers know their revision and are changed by the test. Nothing runs them.
type policy struct {
	rbacinformers.Interface
	roles, clusterRoles, bindings, clusterBindings *kind
}

func newPolicy() *policy {
	factory := informers.NewSharedInformerFactory(nil, 0)
	of := func(example runtime.Object) *kind {
		k := newKind(example)
		factory.InformerFor(example, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer { return k })
		return k
	}
	return &policy{
		Interface: factory.Rbac().V1(),
		roles:     of(&rbacv1.Role{}), clusterRoles: of(&rbacv1.ClusterRole{}),
		bindings: of(&rbacv1.RoleBinding{}), clusterBindings: of(&rbacv1.ClusterRoleBinding{}),
	}
}

// kind is the informer of one kind, and its indexer.
type kind struct {
	cache.SharedIndexInformer
	indexer indexer
}

type indexer struct {
	cache.Indexer
	revision atomic.Int64
}

func newKind(example runtime.Object) *kind {
	k := &kind{SharedIndexInformer: cache.NewSharedIndexInformer(&cache.ListWatch{}, example, 0, cache.Indexers{})}
	k.indexer.Indexer = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	return k
}

// GetIndexer implements cache.SharedIndexInformer.
func (k *kind) GetIndexer() cache.Indexer { return &k.indexer }

// Revision implements revisioned.
func (i *indexer) Revision() int64 { return i.revision.Load() }

func (k *kind) put(t testing.TB, object metav1.Object) {
	t.Helper()
	if err := k.indexer.Add(object); err != nil {
		t.Error(err)
	}
	k.indexer.revision.Add(1)
}

func (k *kind) delete(t testing.TB, object metav1.Object) {
	t.Helper()
	if err := k.indexer.Delete(object); err != nil {
		t.Error(err)
	}
	k.indexer.revision.Add(1)
}

// upstream is the oracle: upstream's authorizer, which walks over all bindings, in the order of their names.
func (p *policy) upstream() *upstream.RBACAuthorizer {
	return upstream.New(
		&upstream.RoleGetter{Lister: p.Roles().Lister()},
		sortedBindings{p.RoleBindings().Lister()},
		&upstream.ClusterRoleGetter{Lister: p.ClusterRoles().Lister()},
		sortedClusterBindings{p.ClusterRoleBindings().Lister()},
	)
}

type sortedBindings struct{ lister rbaclisters.RoleBindingLister }

func (s sortedBindings) ListRoleBindings(_ context.Context, namespace string) ([]*rbacv1.RoleBinding, error) {
	list, err := s.lister.RoleBindings(namespace).List(labels.Everything())
	slices.SortFunc(list, func(a, b *rbacv1.RoleBinding) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

type sortedClusterBindings struct {
	lister rbaclisters.ClusterRoleBindingLister
}

func (s sortedClusterBindings) ListClusterRoleBindings(context.Context) ([]*rbacv1.ClusterRoleBinding, error) {
	list, err := s.lister.List(labels.Everything())
	slices.SortFunc(list, func(a, b *rbacv1.ClusterRoleBinding) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}
