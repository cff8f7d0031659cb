package crash

import (
	"context"

	"fmt"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"gatehouse/tests/harness"
)

// watcher follows all changes across crashes, resuming from the last revision it saw.
type watcher struct {
	maps corev1client.ConfigMapInterface
	seen *ledger

	mu       sync.Mutex
	revision int64 // of the last event; guarded by mu
}

func (w *watcher) at() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision
}

// follow watches until ctx ends, however often the server goes. The error is that an event was wrong, missing or doubled.
func (w *watcher) follow(ctx context.Context) error {
	for {
		events, err := w.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		err = w.drain(events)
		events.Stop()
		if err != nil {
			return err
		}
	}
}

// connect resumes as soon as there is a server.
func (w *watcher) connect(ctx context.Context) (events watch.Interface, err error) {
	err = harness.Poll(ctx, func() error {
		events, err = w.maps.Watch(ctx, metav1.ListOptions{FieldSelector: written, ResourceVersion: strconv.FormatInt(w.at(), 10)})
		if err != nil && !isDown(err) {
			return harness.Hopeless(fmt.Errorf("resume the watch at %d: %w", w.at(), err))
		}
		return err
	})
	return events, err
}

// drain takes events until the connection breaks.
func (w *watcher) drain(events watch.Interface) error {
	for event := range events.ResultChan() {
		object, ok := event.Object.(*corev1.ConfigMap)
		if !ok {
			if isBrokenStream(event) {
				return nil
			}
			return fmt.Errorf("after revision %d came %s %v", w.at(), event.Type, event.Object)
		}
		if err := w.take(event.Type, object); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) take(kind watch.EventType, object *corev1.ConfigMap) error {
	revision, err := strconv.ParseInt(object.ResourceVersion, 10, 64)
	if err != nil {
		return err
	}
	if revision <= w.at() {
		return fmt.Errorf("after revision %d came %s %s at %d", w.at(), kind, object.Name, revision)
	}
	known := w.seen.know(object.Name)
	switch {
	case kind == watch.Added && known == (state{}), kind == watch.Modified && known.uid == object.UID:
		err = w.seen.wrote(object)
	case kind == watch.Deleted && known.uid == object.UID:
		w.seen.removed(object.Name)
	default:
		err = fmt.Errorf("%s %s at %d, but it was %v", kind, object.Name, revision, known)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revision = revision // after it was recorded: who waits for the revision finds the event
	return err
}

// isBrokenStream is true for the event that client-go makes of a connection that broke within an event.
func isBrokenStream(event watch.Event) bool {
	status, ok := event.Object.(*metav1.Status)
	if !ok || event.Type != watch.Error || status.Details == nil {
		return false
	}
	for _, cause := range status.Details.Causes {
		if cause.Type == metav1.CauseTypeUnexpectedServerResponse && status.Code == 0 || cause.Type == "ClientWatchDecoding" {
			return true
		}
	}
	return false
}
