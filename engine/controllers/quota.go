package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	clientcache "k8s.io/client-go/tools/cache"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"

	"gatehouse/engine/controllers/garbage"
	"gatehouse/engine/objects/cache"
	"gatehouse/engine/storage"
)

const (
	// quotaWorkers is how many quotas are calculated at a time.
	quotaWorkers = 2
	// quotaResync is how often all quotas are calculated anew (upstream's default).
	quotaResync = 5 * time.Minute
)

// buildQuota keeps in the status of each ResourceQuota how much of it is used. It is upstream's controller, but for how it learns that
// something is used no more: by usages instead of informers of everything that there can be a quota for.
func buildQuota(ctx context.Context, t tools) (func(context.Context), error) {
	configuration, err := quotainstall.NewQuotaConfigurationForControllers(generic.ListerFuncForResourceFunc(t.Informers.ForResource), t.Informers)
	if err != nil {
		return nil, err
	}
	if err := listCounted(t, configuration.Evaluators()); err != nil {
		return nil, err
	}
	usages := newUsages(ctx, t)
	started := make(chan struct{})
	close(started)
	quotas, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               t.client.CoreV1(),
		ResourceQuotaInformer:     t.Informers.Core().V1().ResourceQuotas(),
		ResyncPeriod:              func() time.Duration { return quotaResync },
		ReplenishmentResyncPeriod: func() time.Duration { return 0 },
		InformerFactory:           usages,
		InformersStarted:          started,
		DiscoveryFunc:             t.Namespaced,
		IgnoredResourcesFunc:      configuration.IgnoredResources,
		Registry:                  generic.NewRegistry(configuration.Evaluators()),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		usages.follow()
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() { usages.run(ctx) })
		quotas.Run(ctx, quotaWorkers)
	}, nil
}

// listCounted asks for the informers by which objects are listed that count for more than that they are there. Of some, ReplicationControllers
// for one, nobody else ever does, and what is asked for only when it is to be listed is never started.
func listCounted(t tools, evaluators []quota.Evaluator) error {
	kinds := t.Kinds()
	for _, evaluator := range evaluators {
		at := slices.IndexFunc(kinds, func(k garbage.Kind) bool { return k.Resource.GroupResource() == evaluator.GroupResource() })
		if at < 0 {
			return fmt.Errorf("quotas count %s, of which none are stored", evaluator.GroupResource())
		}
		informer, err := t.Informers.ForResource(kinds[at].Resource)
		if err != nil {
			return err
		}
		informer.Informer()
	}
	return nil
}

// usages tells the quota controller what is used no more, from the cache's events. It is asked for informers, and gives some that know
// of nothing else: with them, only events in namespaces that have a quota cost anything, and only those are decoded that change
// what an object counts for.
type usages struct {
	tools
	ctx      context.Context // bounds what listers read, which are given none
	quotas   corelisters.ResourceQuotaLister
	follower *cache.Follower
	kinds    map[*cache.Collection]*usage
}

var _ informerfactory.InformerFactory = (*usages)(nil)

// usage is one kind that quotas count.
type usage struct {
	// SharedIndexInformer is nil: nobody asks for what is not below.
	clientcache.SharedIndexInformer
	kind    garbage.Kind
	handler clientcache.ResourceEventHandler
	told    int64 // the revision of the last event that the handler was told
}

func newUsages(ctx context.Context, t tools) *usages {
	u := &usages{tools: t, ctx: ctx, quotas: t.Informers.Core().V1().ResourceQuotas().Lister(), follower: t.Cache.Follow(), kinds: map[*cache.Collection]*usage{}}
	for _, k := range t.Kinds() {
		if k.Namespaced {
			u.kinds[k.Collection] = &usage{kind: k}
		}
	}
	return u
}

// ForResource implements informerfactory.InformerFactory.
func (u *usages) ForResource(resource schema.GroupVersionResource) (informers.GenericInformer, error) {
	for _, one := range u.kinds {
		if one.kind.Resource == resource {
			return counted{u.ctx, one}, nil
		}
	}
	return nil, fmt.Errorf("no objects of %s are stored", resource)
}

// Start implements informerfactory.InformerFactory. Nothing has to be started.
func (u *usages) Start(<-chan struct{}) {}

// counted is a usage as an informer, whose lister tells of objects no more than that they are there: how many there are of the kinds
// that only count is all that the controller lists by it.
type counted struct {
	ctx   context.Context
	usage *usage
}

// Informer implements informers.GenericInformer.
func (c counted) Informer() clientcache.SharedIndexInformer { return c.usage }

// Lister implements informers.GenericInformer.
func (c counted) Lister() clientcache.GenericLister {
	return present{counted: c, prefix: c.usage.kind.Prefix}
}

// present lists the objects below a prefix, from the cache as it is now.
type present struct {
	counted
	prefix string
}

// ByNamespace implements cache.GenericLister.
func (p present) ByNamespace(namespace string) clientcache.GenericNamespaceLister {
	return present{p.counted, p.usage.kind.Prefix + namespace + "/"}
}

// List implements cache.GenericLister. It knows of no labels.
func (p present) List(selector labels.Selector) ([]runtime.Object, error) {
	if !selector.Empty() {
		return nil, fmt.Errorf("list %s by %q: only all of them can be listed", p.usage.kind.Resource, selector)
	}
	view, err := p.usage.kind.Collection.View(p.ctx)
	if err != nil {
		return nil, err
	}
	var list []runtime.Object
	for entry := range view.Scan(p.prefix, storage.PrefixEnd(p.prefix)) {
		list = append(list, p.usage.at(entry))
	}
	return list, nil
}

// Get implements cache.GenericLister. The name has the namespace before it unless the lister is that of one.
func (p present) Get(name string) (runtime.Object, error) {
	view, err := p.usage.kind.Collection.View(p.ctx)
	if err != nil {
		return nil, err
	}
	for entry := range view.Scan(p.prefix+name, p.prefix+name+"\x00") {
		return p.usage.at(entry), nil
	}
	return nil, apierrors.NewNotFound(p.usage.kind.Resource.GroupResource(), name)
}

// at is what an entry tells without being decoded.
func (u *usage) at(e *cache.Entry) *metav1.PartialObjectMetadata {
	namespace, name, _ := strings.Cut(strings.TrimPrefix(e.Key(), u.kind.Prefix), "/")
	return bare(namespace, name)
}

// AddEventHandlerWithResyncPeriod implements cache.SharedIndexInformer; there is one handler, which is told of updates and deletions.
func (u *usage) AddEventHandlerWithResyncPeriod(
	handler clientcache.ResourceEventHandler, _ time.Duration,
) (clientcache.ResourceEventHandlerRegistration, error) {
	u.handler = handler
	return u, nil
}

// GetController implements cache.SharedIndexInformer.
func (u *usage) GetController() clientcache.Controller { return u }

// HasSynced implements cache.Controller.
func (u *usage) HasSynced() bool { return true }

// Run implements cache.Controller.
func (u *usage) Run(stop <-chan struct{}) { <-stop }

// RunWithContext implements cache.Controller.
func (u *usage) RunWithContext(ctx context.Context) { <-ctx.Done() }

// follow begins to follow what has a handler.
func (u *usages) follow() {
	for collection, one := range u.kinds {
		if one.handler != nil {
			u.follower.Add(collection)
		}
	}
}

// run tells the handlers of events until ctx ends.
func (u *usages) run(ctx context.Context) {
	defer func() {
		for collection := range u.kinds {
			u.follower.Drop(collection)
		}
	}()
	for {
		select {
		case <-u.follower.News():
		case <-ctx.Done():
			return
		}
		for _, collection := range u.follower.Take() {
			switch err := u.tell(ctx, u.kinds[collection]); {
			case errors.Is(err, cache.ErrClosed) || ctx.Err() != nil:
				return
			case err != nil:
				u.Logger.Error("the use of quotas could not be followed; it is calculated anew now and then all the same", "error", err)
			}
		}
	}
}

// tell tells a handler of the events since it was last told. Before it has been, and when some have gone unseen, it is told that
// something has gone in each namespace that has a quota.
func (u *usages) tell(ctx context.Context, one *usage) error {
	events, upTo, held, err := one.kind.Collection.Since(ctx, one.told)
	if err != nil {
		return err
	}
	one.told = upTo
	if !held {
		quotas, err := u.quotas.List(labels.Everything())
		for _, quota := range quotas {
			one.handler.OnDelete(bare(quota.Namespace, ""))
		}
		return err
	}
	for _, e := range events {
		object := one.at(e.Entry)
		switch limited, err := u.limited(object.Namespace); {
		case err != nil:
			return err
		case !limited:
		case e.Kind == cache.Deleted:
			one.handler.OnDelete(object)
		case e.Kind == cache.Modified && counts(one.kind.Resource.GroupResource()):
			if err := u.tellUpdate(one, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// limited says that a namespace has a quota.
func (u *usages) limited(namespace string) (bool, error) {
	quotas, err := u.quotas.ResourceQuotas(namespace).List(labels.Everything())
	return len(quotas) > 0, err
}

// counts says that updates of a resource can change what it counts for: those that upstream's filter looks at.
func counts(resource schema.GroupResource) bool {
	return resource.Group == "" && (resource.Resource == "pods" || resource.Resource == "services" || resource.Resource == "persistentvolumeclaims")
}

func (u *usages) tellUpdate(one *usage, e *cache.Event) error {
	informed, err := u.Informed(one.kind.Kind)
	if err != nil {
		return err
	}
	var states [2]runtime.Object
	for i, entry := range []*cache.Entry{e.Previous, e.Entry} {
		if states[i], err = informed.Decode(entry); err != nil {
			return nil // what cannot be read counts for nothing
		}
	}
	one.handler.OnUpdate(states[0], states[1])
	return nil
}

// bare is an object of which nothing is known but where it is.
func bare(namespace, name string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}
