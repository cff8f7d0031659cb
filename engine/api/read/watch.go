package read

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/util/flowcontrol"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"gatehouse/engine/leash"
	"gatehouse/engine/objects/cache"
)

func (r *Reader) watch(
	w http.ResponseWriter, req *http.Request, info *request.RequestInfo, options *metainternalversion.ListOptions,
) (func(), Reason) {
	rep, reason := r.negotiate(req, "PartialObjectMetadata")
	if reason != reasonNone {
		return nil, reason
	}
	if rep.yaml {
		return nil, Refused // YAML is no stream
	}
	selected, ok := r.selects(req.Context(), info, options)
	if !ok {
		return nil, Refused
	}
	start, err := startOf(&selected.options)
	if err != nil {
		return nil, Refused
	}
	flusher, flushes := w.(http.Flusher)
	if _, hijacks := w.(http.Hijacker); !flushes || (wsstream.IsWebSocketRequest(req) && !hijacks) {
		return nil, Refused
	}
	timeout := r.watchTimeout(options)
	held := leash.New(w, timeout)
	wanted := cache.WatchRequest{Scope: selected.key, After: start.after, Ended: held.Hurry}
	wanted.Field, wanted.Value, _ = selected.indexed(r.Resource.Indexed)
	source, view, err := r.Collection.Watch(req.Context(), wanted)
	if err != nil {
		held.Release()
		return nil, History
	}
	if start.initial && view.Revision() < start.least {
		source.Close()
		held.Release()
		return nil, Refused
	}
	s := &stream{
		reader: r, selection: selected, representation: rep, request: req,
		source: source, seen: max(start.after, view.Revision()), deadline: r.Clock.Now().Add(timeout),
		writer: w, flusher: flusher,
		counts: metrics.WatchEvents.WithContext(req.Context()).WithLabelValues(info.APIGroup, info.APIVersion, info.Resource),
		sizes:  metrics.WatchEventsSizes.WithLabelValues(info.APIGroup, info.APIVersion, info.Resource),
	}
	return func() {
		defer source.Close()
		defer held.Release()
		defer context.AfterFunc(req.Context(), held.Hurry)()
		metrics.RecordLongRunning(req, info, metrics.APIServerComponent, func() { s.transport(view, start) })
	}, reasonNone
}

// watchTimeout is upstream's: the client's, or a time of our choosing, between one and two of the least, so that clients do
// not all come back at once.
func (r *Reader) watchTimeout(options *metainternalversion.ListOptions) time.Duration {
	if seconds := options.TimeoutSeconds; seconds != nil && *seconds != 0 {
		return time.Duration(*seconds) * time.Second
	}
	return time.Duration(float64(r.MinWatchTimeout) * (rand.Float64() + 1))
}

// watchStart says where a watch begins.
type watchStart struct {
	// after is the last revision that the client has seen; 0 is the present.
	after int64
	// initial asks for the present state before the changes to it, at least as it was at revision least.
	initial bool
	least   int64
	// endBookmark asks for a bookmark after the initial state.
	endBookmark bool
}

// startOf reads the options as the store behind upstream's handlers does.
func startOf(options *apistorage.ListOptions) (watchStart, error) {
	parsed, err := versioner.ParseResourceVersion(options.ResourceVersion)
	if err != nil {
		return watchStart{}, err
	}
	revision, initial := int64(parsed), options.SendInitialEvents
	switch {
	case initial != nil && *initial:
		return watchStart{initial: true, least: revision, endBookmark: options.Predicate.AllowWatchBookmarks}, nil
	case revision != 0:
		return watchStart{after: revision}, nil
	default:
		return watchStart{initial: initial == nil}, nil
	}
}

// serve begins the stream and follows the collection until the client, the deadline or an error ends it.
func (s *stream) serve(view cache.View, start watchStart) {
	flowcontrol.WatchInitialized(s.request.Context())
	s.begin()
	err := s.sendPresent(view, start)
	if err == nil {
		err = s.follow()
	}
	if err != nil {
		s.fail(err)
	}
}

// sendPresent sends the present state as additions.
func (s *stream) sendPresent(view cache.View, start watchStart) error {
	defer s.release()
	if start.initial {
		for entry := range s.scan(view, s.key, s.reader.Resource.Indexed) {
			if !s.matches(entry) {
				continue
			}
			if err := s.add(watch.Added, entry); err != nil {
				return err
			}
		}
	}
	if start.endBookmark {
		if err := s.addBookmark(apistorage.AnnotateInitialEventsEndBookmark); err != nil {
			return err
		}
	}
	return s.flush()
}

// follow sends what changes, and bookmarks when they are due.
func (s *stream) follow() error {
	timer := s.reader.Clock.NewTimer(s.untilWake())
	defer timer.Stop()
	gone := s.request.Context().Done() // asked once: requests' contexts are long chains
	for {
		select {
		case <-gone:
			return nil
		case <-s.source.Ready():
			if err := s.sendChanges(); err != nil {
				return err
			}
		case <-timer.C():
			if !s.reader.Clock.Now().Before(s.deadline) {
				return nil
			}
			if err := s.sendBookmark(); err != nil {
				return err
			}
			timer.Reset(s.untilWake())
		}
	}
}

// As upstream's cache does it: bookmarks about once a minute, and one shortly before the watch ends, from which the client
// will resume.
const (
	bookmarkInterval    = time.Minute
	bookmarkBeforeClose = 2 * time.Second
)

// untilWake is the time until the next bookmark, or the end.
func (s *stream) untilWake() time.Duration {
	left := s.deadline.Sub(s.reader.Clock.Now())
	beforeClose := left - bookmarkBeforeClose
	if !s.options.Predicate.AllowWatchBookmarks || beforeClose <= 0 {
		return left
	}
	return min(bookmarkInterval, beforeClose)
}

// sendBookmark tells the client how far it has seen everything.
func (s *stream) sendBookmark() error {
	return s.send(func() error {
		if err := s.addChanges(); err != nil {
			return err
		}
		return s.addBookmark(nil)
	})
}

func (s *stream) sendChanges() error { return s.send(s.addChanges) }

// send sends what is added, also if adding fails: what came before the failure has happened all the same.
func (s *stream) send(add func() error) error {
	defer s.release()
	failure := add()
	if err := s.flush(); err != nil {
		return err
	}
	return failure
}

// addChanges takes what has happened.
func (s *stream) addChanges() error {
	batches, revision, err := s.source.TakeBatches()
	if err != nil {
		return err
	}
	for _, batch := range batches {
		if err := s.addBatch(batch); err != nil {
			return err
		}
	}
	s.seen = max(s.seen, revision)
	return nil
}

func (s *stream) addBatch(batch *cache.Batch) error {
	if frames := s.sharedFrames(batch); frames != nil {
		return s.addShared(frames)
	}
	for _, event := range batch.Events() {
		if err := s.addChange(event); err != nil {
			return err
		}
	}
	return nil
}

// addChange adds what a change means to the watch: an object that comes into its view is added, one that leaves it is
// deleted and shown as it was, at the revision of the change.
func (s *stream) addChange(event *cache.Event) error {
	sees := event.Kind != cache.Deleted && s.matches(event.Entry)
	saw := event.Previous != nil && s.matches(event.Previous)
	switch {
	case sees && saw:
		return s.add(watch.Modified, event.Entry)
	case sees:
		return s.add(watch.Added, event.Entry)
	case saw && event.Kind == cache.Deleted:
		return s.add(watch.Deleted, event.Entry)
	case saw:
		return s.add(watch.Deleted, event.Departed())
	default:
		return nil
	}
}

// addBookmark adds a bookmark: an empty object with the revision up to which the client has seen everything.
func (s *stream) addBookmark(annotate func(runtime.Object) error) error {
	object := s.reader.Resource.NewObject()
	if err := versioner.UpdateObject(object, uint64(s.seen)); err != nil {
		return err
	}
	if annotate != nil {
		if err := annotate(object); err != nil {
			return err
		}
	}
	if decorate := s.reader.Resource.Decorate; decorate != nil {
		decorate(object)
	}
	if s.table != nil {
		form := s.table
		if annotate != nil {
			form = form.afterInitialEvents()
		}
		return s.addTable(watch.Bookmark, form, loose{object})
	}
	item, err := s.shape.version.Encode(object, s.encoding)
	if err != nil {
		return err
	}
	return s.addItem(watch.Bookmark, cache.NewForm(item))
}
