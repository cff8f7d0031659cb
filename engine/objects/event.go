package objects

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"gatehouse/engine/storage"
)

// eventOf translates a change for the watch's selector: an object that comes into its view is added, one that leaves it is
// deleted. An event without a type is none. What was deleted is shown as it was, at the revision of its deletion.
func (w *watcher) eventOf(ctx context.Context, change storage.Event) (watch.Event, error) {
	after, err := w.objectAfter(ctx, change)
	if err != nil {
		return watch.Event{}, err
	}
	before, err := w.objectBefore(ctx, change)
	if err != nil {
		return watch.Event{}, err
	}
	sees := after != nil && w.matches(after)
	// Without a selector the state before an update is not decoded, for it was certainly in view.
	saw := change.Previous != nil && (before == nil || w.matches(before))
	switch {
	case sees && saw:
		return watch.Event{Type: watch.Modified, Object: after}, nil
	case sees:
		return watch.Event{Type: watch.Added, Object: after}, nil
	case saw:
		return watch.Event{Type: watch.Deleted, Object: before}, nil
	default:
		return watch.Event{}, nil
	}
}

// objectAfter is nil for a deletion.
func (w *watcher) objectAfter(ctx context.Context, change storage.Event) (runtime.Object, error) {
	if change.Delete {
		return nil, nil
	}
	return w.store.coding.openAndDecode(ctx, change.Item.Key, change.Item.Value, change.Item.ModRevision)
}

// objectBefore is nil if there was none, or if it need not be known.
func (w *watcher) objectBefore(ctx context.Context, change storage.Event) (runtime.Object, error) {
	if change.Previous == nil || (w.everything && !change.Delete) {
		return nil, nil
	}
	object, err := w.store.coding.openAndDecode(ctx, change.Item.Key, change.Previous.Value, change.Item.ModRevision)
	if corrupt := (*corruptError)(nil); change.Delete && errors.As(err, &corrupt) {
		return nil, &corruptDeletionError{err: corrupt}
	}
	return object, err
}

func (w *watcher) matches(object runtime.Object) bool {
	if w.everything {
		return true
	}
	matched, err := w.predicate.Matches(object)
	return err == nil && matched
}
