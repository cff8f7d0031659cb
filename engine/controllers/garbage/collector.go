package garbage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"gatehouse/engine/objects/cache"
)

const (
	// judges is how many objects are judged at a time. Most of it is waiting for a commit, which those that wait together share.
	judges = 8
	// orphaners is how many owners have their dependents orphaned at a time, orphanedTogether how many of one.
	orphaners        = 2
	orphanedTogether = 8
	// component is who records events; upstream's.
	component = "garbage-collector-controller"
	// retryAfter is how long the index waits after it could not read on.
	retryAfter = time.Second
)

// Config is what a Collector needs.
type Config struct {
	// Client records events, Metadata deletes and patches.
	Client   kubernetes.Interface
	Metadata metadata.Interface
	Cache    *cache.Cache
	Logger   *slog.Logger
}

// Collector is the garbage collector. SetKinds tells it what there is; then Run works until its context ends.
type Collector struct {
	config   Config
	index    *index
	toJudge  workqueue.TypedRateLimitingInterface[object]
	toOrphan workqueue.TypedRateLimitingInterface[object]
	events   record.EventBroadcaster
	recorder record.EventRecorder
	kinds    chan struct{} // holds a token when there are other kinds
}

// New makes a collector that knows of no kinds.
func New(config Config) *Collector {
	c := &Collector{
		config:   config,
		toJudge:  newQueue("garbage_collector_attempt_to_delete"),
		toOrphan: newQueue("garbage_collector_attempt_to_orphan"),
		events:   record.NewBroadcaster(),
		kinds:    make(chan struct{}, 1),
	}
	c.recorder = c.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: component})
	c.index = newIndex(config.Cache.Follow(), work{judge: c.toJudge.Add, orphan: c.toOrphan.Add, misplaced: c.report}, config.Logger)
	return c
}

func newQueue(name string) workqueue.TypedRateLimitingInterface[object] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[object](),
		workqueue.TypedRateLimitingQueueConfig[object]{Name: name})
}

// SetKinds tells which kinds there are from now on, all of them.
func (c *Collector) SetKinds(kinds []Kind) {
	c.index.setKinds(kinds)
	select {
	case c.kinds <- struct{}{}:
	default:
	}
}

// Run collects until ctx ends, and returns when all that was under way has ended.
func (c *Collector) Run(ctx context.Context) {
	c.events.StartRecordingToSink(&coreclient.EventSinkImpl{Interface: c.config.Client.CoreV1().Events("")})
	var running sync.WaitGroup
	defer running.Wait()
	defer c.events.Shutdown()
	defer c.toJudge.ShutDown()
	defer c.toOrphan.ShutDown()
	for range judges {
		running.Go(func() { c.work(ctx, c.toJudge, c.judge) })
	}
	for range orphaners {
		running.Go(func() { c.work(ctx, c.toOrphan, c.orphan) })
	}
	c.follow(ctx)
	c.index.setKinds(nil) // the cache has nobody to tell any more
}

// follow keeps the index up to date until ctx ends.
func (c *Collector) follow(ctx context.Context) {
	for ctx.Err() == nil {
		var err error
		select {
		case <-c.kinds:
			err = c.index.updateAll(ctx)
		case <-c.index.follower.News():
			err = c.index.update(ctx)
		case <-ctx.Done():
			return
		}
		switch {
		case errors.Is(err, cache.ErrClosed):
			return
		case err != nil && ctx.Err() == nil:
			c.config.Logger.Error("the garbage collector could not see what has changed, and tries again", "error", err)
			c.lookAgain(ctx)
		}
	}
}

// lookAgain has all kinds looked at after a while.
func (c *Collector) lookAgain(ctx context.Context) {
	select {
	case <-time.After(retryAfter):
	case <-ctx.Done():
		return
	}
	select {
	case c.kinds <- struct{}{}:
	default:
	}
}

// work takes from a queue until it is shut down. What fails is tried again, ever later.
func (c *Collector) work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[object], do func(context.Context, object) error) {
	for {
		next, ended := queue.Get()
		if ended {
			return
		}
		err := do(ctx, next)
		switch {
		case err == nil || ctx.Err() != nil:
			queue.Forget(next)
		default:
			c.complain(next, err)
			queue.AddRateLimited(next)
		}
		queue.Done(next)
	}
}

// complain logs what will be tried again. References to kinds that are not known are their authors' matter, and stay as they are.
func (c *Collector) complain(o object, err error) {
	var unknown *unknownKindError
	if errors.As(err, &unknown) {
		c.config.Logger.Debug("an object refers to an owner of a kind that there is not", "object", o.String(), "error", err)
		return
	}
	c.config.Logger.Warn("garbage could not be collected, and is tried again", "object", o.String(), "error", err)
}

// report records the event by which users find out that an owner is in another namespace.
func (c *Collector) report(dependent object, reference metav1.OwnerReference) {
	namespace, name := dependent.kind.name(dependent.key)
	apiVersion, kind := dependent.kind.Kind.Kind.ToAPIVersionAndKind()
	about := &corev1.ObjectReference{Kind: kind, APIVersion: apiVersion, Namespace: namespace, Name: name, UID: dependent.uid}
	c.recorder.Eventf(about, corev1.EventTypeWarning, "OwnerRefInvalidNamespace", "ownerRef %s does not exist in namespace %q",
		fmt.Sprintf("[%s/%s, namespace: %s, name: %s, uid: %s]", reference.APIVersion, reference.Kind, namespace, reference.Name, reference.UID),
		namespace)
}
