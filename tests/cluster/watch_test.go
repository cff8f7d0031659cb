package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"gatehouse/tests/harness"
)

// patience bounds every wait for something that must come. The slowest comes by the clock, once a minute.
const patience = 3 * time.Minute

// object is a pointer to one of Kubernetes' types.
type object interface {
	runtime.Object
	metav1.Object
}

// await watches a collection until it is as wanted. want is asked whenever it has changed, perhaps several times, and sees it as
// it was at one moment. An error made by harness.Hopeless ends the test at once.
func await[T object](t *testing.T, collection cache.ListerWatcher, want func([]T) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	changed := make(chan struct{}, 1)
	change := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	var example T
	store, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: collection, ObjectType: example,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { change() }, UpdateFunc: func(any, any) { change() }, DeleteFunc: func(any) { change() },
		},
	})
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatalf("the first list of %T did not come", example)
	}
	for {
		var all []T
		for _, item := range store.List() {
			all = append(all, item.(T))
		}
		err := want(all)
		if err == nil {
			return
		}
		if harness.IsHopeless(err) {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", patience, err)
		}
	}
}

// eventually waits for what cannot be watched.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := harness.Poll(ctx, try); err != nil {
		t.Fatal(err)
	}
}

// named wants something of one object of a collection.
func named[T object](name string, want func(T) error) func([]T) error {
	return func(all []T) error {
		for _, item := range all {
			if item.GetName() == name {
				return want(item)
			}
		}
		return fmt.Errorf("there is no %s", name)
	}
}

// none wants a collection to be empty.
func none[T object](all []T) error {
	if len(all) > 0 {
		return fmt.Errorf("there are still %d, such as %s", len(all), all[0].GetName())
	}
	return nil
}

// has wants a condition to hold.
func has(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func collection(group rest.Interface, resource, namespace string) cache.ListerWatcher {
	return cache.NewListWatchFromClient(group, resource, namespace, fields.Everything())
}

func (c *cluster) core(resource, namespace string) cache.ListerWatcher {
	return collection(c.client.CoreV1().RESTClient(), resource, namespace)
}

func (c *cluster) apps(resource, namespace string) cache.ListerWatcher {
	return collection(c.client.AppsV1().RESTClient(), resource, namespace)
}

func (c *cluster) batch(resource, namespace string) cache.ListerWatcher {
	return collection(c.client.BatchV1().RESTClient(), resource, namespace)
}
