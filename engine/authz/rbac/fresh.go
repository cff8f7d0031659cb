package rbac

import (
	"sync"
	"sync/atomic"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	rbacinformers "k8s.io/client-go/informers/rbac/v1"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/lru"
)

// changes tells by a number that what a lister shows may have changed: while the number is the same, the lister shows the same.
type changes func() int64

// revisioned is an indexer that shows each write as soon as it is acknowledged, and knows the revision of the last one that it
// shows.
type revisioned interface {
	Revision() int64
}

// changesOf asks an indexer that knows its revision, and counts the events of any other. Such a one is behind the store by the
// time of a watch, and so is what is decided by it.
func changesOf(informer cache.SharedIndexInformer) changes {
	if known, ok := informer.GetIndexer().(revisioned); ok {
		return known.Revision
	}
	seen := new(atomic.Int64)
	count := func() { seen.Add(1) }
	// It fails only on an informer that has been stopped, which shows the same for ever.
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { count() },
		UpdateFunc: func(any, any) { count() },
		DeleteFunc: func(any) { count() },
	})
	return seen.Load
}

// dated is an index with the number of changes at which it was right.
type dated[B bound] struct {
	at    int64
	index *index[B]
}

// clusterBindings is the ClusterRoleBindings, indexed anew when they have changed.
type clusterBindings struct {
	changes changes
	lister  rbaclisters.ClusterRoleBindingLister
	latest  atomic.Pointer[dated[*rbacv1.ClusterRoleBinding]]
	making  sync.Mutex // held while an index is made, so that it is made once
}

func newClusterBindings(informer rbacinformers.ClusterRoleBindingInformer) *clusterBindings {
	return &clusterBindings{changes: changesOf(informer.Informer()), lister: informer.Lister()}
}

// present is the index of what the lister shows.
func (b *clusterBindings) present() (*index[*rbacv1.ClusterRoleBinding], error) {
	// The number is read first: an index of what came after it is made again the next time, and never kept for too long.
	now := b.changes()
	latest := b.latest.Load()
	if latest != nil && latest.at == now {
		return latest.index, nil
	}
	b.making.Lock()
	defer b.making.Unlock()
	if latest = b.latest.Load(); latest != nil && latest.at >= now {
		return latest.index, nil
	}
	all, err := b.lister.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	var before *index[*rbacv1.ClusterRoleBinding]
	if latest != nil {
		before = latest.index
	}
	made := newIndex(all, before)
	b.latest.Store(&dated[*rbacv1.ClusterRoleBinding]{at: now, index: made})
	return made, nil
}

// keptNamespaces bounds how many namespaces are indexed at a time. The others are indexed when they are asked about.
const keptNamespaces = 4096

// namespacedBindings is the RoleBindings, those of each namespace indexed anew when any have changed and it is asked about.
type namespacedBindings struct {
	changes changes
	lister  rbaclisters.RoleBindingLister
	latest  *lru.Cache // of a namespace's name to its *dated index
}

func newNamespacedBindings(informer rbacinformers.RoleBindingInformer) *namespacedBindings {
	return &namespacedBindings{changes: changesOf(informer.Informer()), lister: informer.Lister(), latest: lru.New(keptNamespaces)}
}

// in is the index of what the lister shows of a namespace.
func (b *namespacedBindings) in(namespace string) (*index[*rbacv1.RoleBinding], error) {
	now := b.changes()
	var before *index[*rbacv1.RoleBinding]
	if found, ok := b.latest.Get(namespace); ok {
		latest := found.(*dated[*rbacv1.RoleBinding])
		if latest.at == now {
			return latest.index, nil
		}
		before = latest.index
	}
	all, err := b.lister.RoleBindings(namespace).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	made := newIndex(all, before)
	if len(all) == 0 {
		// Anybody can ask about any number of namespaces that do not exist.
		b.latest.Remove(namespace)
		return made, nil
	}
	b.latest.Add(namespace, &dated[*rbacv1.RoleBinding]{at: now, index: made})
	return made, nil
}
