package pluginapi

import (
	"context"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"gatehouse/engine/pluginapi/v1alpha1"
)

const (
	// bookmarkEvery and bookmarkBeforeEnd are when watches that want bookmarks get one, as with all other kinds.
	bookmarkEvery     = time.Minute
	bookmarkBeforeEnd = 2 * time.Second
)

// watcher tells one client what changes. All but its channel belongs to the goroutine that runs it.
type watcher struct {
	board    *board
	selected selection
	// position is the revision that the client knows.
	position uint64
	// initial asks for what there is before what changes, marked for a bookmark in between.
	initial, marked bool
	// bookmarks are wanted; last is set when the next one is that before the end.
	bookmarks, last bool
	results         chan watch.Event
	cancel          context.CancelFunc
}

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.results }

// Stop implements watch.Interface.
func (w *watcher) Stop() { w.cancel() }

// run sends events until ctx ends.
func (w *watcher) run(ctx context.Context) {
	defer close(w.results)
	defer w.cancel()
	w.board.follow()
	defer w.board.leave()
	if w.initial && !w.begin(ctx) {
		return
	}
	timer := time.NewTimer(w.nextBookmark(ctx))
	defer timer.Stop()
	for {
		events, revision, more, ok := w.board.since(w.position)
		if !ok {
			expired := apierrors.NewResourceExpired("too old resource version: " + strconv.FormatUint(w.position, 10))
			w.send(ctx, watch.Event{Type: watch.Error, Object: &expired.ErrStatus})
			return
		}
		for _, event := range events {
			if !w.show(ctx, event) {
				return
			}
		}
		w.position = revision
		select {
		case <-ctx.Done():
			return
		case <-more:
		case <-timer.C:
			if w.bookmarks && !w.bookmark(ctx, false) {
				return
			}
			timer.Reset(w.nextBookmark(ctx))
		}
	}
}

// begin sends what there is.
func (w *watcher) begin(ctx context.Context) bool {
	all, revision := w.board.all()
	for _, plugin := range all {
		if !w.show(ctx, watch.Event{Type: watch.Added, Object: plugin}) {
			return false
		}
	}
	w.position = revision
	return !w.marked || w.bookmark(ctx, true)
}

// show sends an event if the client wants to see its object.
func (w *watcher) show(ctx context.Context, event watch.Event) bool {
	plugin := event.Object.(*v1alpha1.Plugin)
	return !w.selected.has(plugin) || w.send(ctx, watch.Event{Type: event.Type, Object: plugin.DeepCopy()})
}

// bookmark tells the client its position, after the initial events with the annotation that says so.
func (w *watcher) bookmark(ctx context.Context, afterInitial bool) bool {
	object := &v1alpha1.Plugin{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Plugin"},
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.FormatUint(w.position, 10)},
	}
	if afterInitial {
		object.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return w.send(ctx, watch.Event{Type: watch.Bookmark, Object: object})
}

func (w *watcher) send(ctx context.Context, event watch.Event) bool {
	select {
	case w.results <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

// nextBookmark is how long it is to the next bookmark.
func (w *watcher) nextBookmark(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok && !w.last {
		if left := time.Until(end) - bookmarkBeforeEnd; left > 0 && left < bookmarkEvery {
			w.last = true
			return left
		}
	}
	return bookmarkEvery
}
