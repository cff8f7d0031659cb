package informers

import (
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	clientcache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// Options are all optional.
type Options struct {
	// Resync is how often handlers that do not say are told of all objects again; 0 is never.
	Resync time.Duration
	// Logger gets what nobody can be told. Discarded by default.
	Logger *slog.Logger
	// Clock times resyncs; nil is the real one.
	Clock clock.WithTicker
}

// Factory is client-go's informers.SharedInformerFactory, with informers that read the cache. They are made when they are asked for
// and, once the factory is told where to Serve them from, their listers work without a Start. It is safe for concurrent use.
type Factory struct {
	// SharedInformerFactory is client-go's. It keeps the informers, starts them and waits for them.
	clientinformers.SharedInformerFactory
	options Options
	sources sources
	serve   sync.Once
}

var _ clientinformers.SharedInformerFactory = (*Factory)(nil)

// New makes a factory. client is for what asks an informer for its client; nothing is listed or watched by it.
func New(client kubernetes.Interface, o Options) *Factory {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Factory{
		SharedInformerFactory: clientinformers.NewSharedInformerFactory(client, o.Resync),
		options:               o,
		sources:               sources{served: make(chan struct{})},
	}
}

// Serve tells where all informers read, those that there are and those to come. The first call counts.
func (f *Factory) Serve(resolve Resolver) {
	f.serve.Do(func() {
		f.sources.resolve = resolve
		close(f.sources.served)
	})
}

// InformerFor implements informers.SharedInformerFactory. Only for types that are no kind of Kubernetes' own, it makes the informer
// by newFunc.
func (f *Factory) InformerFor(object runtime.Object, newFunc internalinterfaces.NewInformerFunc) clientcache.SharedIndexInformer {
	if kinds, _, err := scheme.Scheme.ObjectKinds(object); err == nil {
		newFunc = func(_ kubernetes.Interface, resync time.Duration) clientcache.SharedIndexInformer {
			return newInformer(kinds[0], resync, &f.sources, f.options)
		}
	}
	return f.SharedInformerFactory.InformerFor(object, newFunc)
}

// ForResource implements informers.SharedInformerFactory.
func (f *Factory) ForResource(resource schema.GroupVersionResource) (clientinformers.GenericInformer, error) {
	for name := range scheme.Scheme.KnownTypes(resource.GroupVersion()) {
		kind := resource.GroupVersion().WithKind(name)
		listable := scheme.Scheme.Recognizes(resource.GroupVersion().WithKind(name + "List"))
		if plural, _ := meta.UnsafeGuessKindToResource(kind); plural != resource || !listable {
			continue
		}
		object, err := scheme.Scheme.New(kind)
		if err != nil {
			return nil, err
		}
		f.InformerFor(object, nil) // so that it is there when client-go's factory looks for it
		break
	}
	return f.SharedInformerFactory.ForResource(resource)
}
