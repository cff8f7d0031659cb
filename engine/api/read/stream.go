package read

import (
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	compbasemetrics "k8s.io/component-base/metrics"

	"gatehouse/engine/objects/cache"
)

// watchTooSlow tells a client why its watch ends. Upstream closes such a watch without a word.
const watchTooSlow = "The watch did not take its events fast enough and has been cut off."

// errGone says that the client has gone; nobody is left to tell.
var errGone = errors.New("the watching client has gone")

// stream is one watch being served, on the request's own goroutine. While nothing happens it holds no buffer.
type stream struct {
	selection
	representation
	reader  *Reader
	request *http.Request
	source  *cache.Watcher
	// seen is the revision up to which the client has been told everything.
	seen     int64
	deadline time.Time
	// headed says that a table has told its columns.
	headed bool

	writer  http.ResponseWriter
	flusher http.Flusher
	counts  compbasemetrics.CounterMetric
	sizes   compbasemetrics.ObserverMetric
	// pending is what has been added and not yet been written; nil when nothing has.
	pending *[]byte
}

// begin sends the headers at once: clients wait for them.
func (s *stream) begin() {
	mediaType := s.mediaType
	if s.encoding != cache.JSON {
		mediaType += ";stream=watch"
	}
	s.writer.Header().Set("Content-Type", mediaType)
	s.writer.Header().Set("Transfer-Encoding", "chunked")
	s.writer.WriteHeader(http.StatusOK)
	s.flusher.Flush()
}

// add adds an event about an entry. Many events become one write.
func (s *stream) add(event watch.EventType, entry *cache.Entry) error {
	if s.table != nil {
		return s.addTable(event, s.table, entry)
	}
	item, err := entry.Form(s.shape.version, s.encoding)
	if err != nil {
		return err
	}
	return s.addItem(event, item)
}

// addTable adds an event about a table of one row. The first tells the columns.
func (s *stream) addTable(event watch.EventType, form *tableForm, about subject) error {
	item, err := s.reader.tableOf(s.request.Context(), form, about, !s.headed)
	if err != nil {
		return err
	}
	s.headed = true
	return s.addFrame(form.around, event, item)
}

func (s *stream) addItem(event watch.EventType, item cache.Form) error {
	return s.addFrame(s.shape.item, event, item)
}

func (s *stream) addFrame(around envelope, event watch.EventType, item cache.Form) error {
	if s.pending == nil {
		s.pending = s.reader.buffers.frames.Get().(*[]byte)
	}
	before := len(*s.pending)
	*s.pending = around.appendFrame(*s.pending, string(event), item, s.encoding)
	s.counts.Inc()
	s.sizes.Observe(float64(len(*s.pending) - before))
	if len(*s.pending) >= writeBuffer {
		return s.write()
	}
	return nil
}

// addShared adds frames that were made for many watches.
func (s *stream) addShared(frames *frames) error {
	if err := s.write(); err != nil { // what came before
		return err
	}
	s.counts.Add(float64(len(frames.sizes)))
	for _, size := range frames.sizes {
		s.sizes.Observe(size)
	}
	if _, err := s.writer.Write(frames.bytes); err != nil {
		return errGone
	}
	return nil
}

func (s *stream) write() error {
	if s.pending == nil || len(*s.pending) == 0 {
		return nil
	}
	_, err := s.writer.Write(*s.pending)
	if err != nil {
		s.pending = nil // not to be lent again: the connection may still read it
		return errGone
	}
	*s.pending = (*s.pending)[:0]
	return nil
}

// flush sends all that was added.
func (s *stream) flush() error {
	if err := s.write(); err != nil {
		return err
	}
	s.flusher.Flush()
	return nil
}

// release gives the buffer back; what is in it is lost.
func (s *stream) release() {
	if s.pending == nil {
		return
	}
	*s.pending = (*s.pending)[:0]
	s.reader.buffers.frames.Put(s.pending)
	s.pending = nil
}

// fail tells the client why the watch ends, if there is something to tell and somebody to be told.
func (s *stream) fail(cause error) {
	if errors.Is(cause, errGone) || errors.Is(cause, cache.ErrClosed) || s.request.Context().Err() != nil {
		return
	}
	defer s.release()
	status := watchStatus(cause)
	item, err := s.reader.status.encode(s.reader.encoders, &status, s.encoding)
	if err == nil {
		err = s.addFrame(s.reader.status, watch.Error, cache.NewForm(item))
	}
	if err == nil {
		err = s.flush()
	}
	if err != nil && !errors.Is(err, errGone) {
		utilruntime.HandleErrorWithContext(s.request.Context(), err, "Failed to tell why a watch ends", "cause", cause)
	}
}

func watchStatus(cause error) metav1.Status {
	var known apierrors.APIStatus
	switch {
	case errors.Is(cause, cache.ErrSlowWatcher):
		return apierrors.NewResourceExpired(watchTooSlow).Status()
	case errors.As(cause, &known):
		return known.Status()
	default:
		return apierrors.NewInternalError(cause).Status()
	}
}
