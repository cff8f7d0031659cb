package read

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/features"

	"gatehouse/engine/objects/cache"
)

const (
	// gzipThreshold is the size beyond which answers are compressed for clients that ask for it, as upstream has it.
	gzipThreshold = 128 << 10
	// writeBuffer is how much is gathered before it is written: every write to an HTTP/2 stream changes goroutines twice.
	writeBuffer = 128 << 10
)

// body is an answer ready to be sent.
type body interface {
	// length is how many bytes writeTo writes.
	length() int
	writeTo(io.Writer) error
}

// single is the body of an answer of one object.
type single struct {
	envelope envelope
	item     []byte
	encoding cache.Encoding
}

func (s single) length() int {
	if s.encoding == cache.Protobuf {
		return s.envelope.protobufSize(len(s.item))
	}
	return s.envelope.jsonSize(s.item) + len("\n")
}

func (s single) writeTo(w io.Writer) error {
	_, err := w.Write(s.envelope.append(make([]byte, 0, s.length()), s.item, s.encoding))
	return err
}

func (l *spliced) length() int { return l.size }

// raw is a body of bytes.
type raw []byte

func (b raw) length() int { return len(b) }

func (b raw) writeTo(w io.Writer) error {
	_, err := w.Write(b)
	return err
}

// buffers are lent to answers under way.
type buffers struct {
	writers     sync.Pool // of *bufio.Writer
	compressors sync.Pool // of *gzip.Writer
	frames      sync.Pool // of *[]byte
}

func newBuffers() *buffers {
	return &buffers{
		writers:     sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }},
		compressors: sync.Pool{New: func() any { return newCompressor() }},
		frames:      sync.Pool{New: func() any { return new([]byte) }},
	}
}

// newCompressor spends the least time: on a LAN, more would cost more than it saves.
func newCompressor() *gzip.Writer {
	compressor, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return gzip.NewWriter(nil) // cannot be: the level is one of the library's
	}
	return compressor
}

// respond sends an answer of status 200. What goes wrong from here on is the connection's fault, and ends it.
func (r *Reader) respond(w http.ResponseWriter, req *http.Request, rep representation, b body) {
	if rep.pretty {
		indented, err := indent(b)
		if err != nil {
			utilruntime.HandleErrorWithContext(req.Context(), err, "Failed to indent an answer", "path", req.URL.Path)
			responsewriters.InternalError(w, req, err)
			return
		}
		b = indented
	}
	header := w.Header()
	header.Set("Content-Type", rep.mediaType)
	compress := b.length() > gzipThreshold && responsewriters.ContentEncodingSupported(req, features.APIResponseCompression) == "gzip"
	if compress {
		header.Set("Content-Encoding", "gzip")
		header.Add("Vary", "Accept-Encoding")
	} else {
		header.Set("Content-Length", strconv.Itoa(b.length()))
	}
	w.WriteHeader(http.StatusOK)
	if err := r.buffers.send(w, b, compress); err != nil {
		utilruntime.HandleErrorWithContext(req.Context(), err, "Failed to write an answer", "path", req.URL.Path)
	}
}

// send writes the body in large pieces.
func (p *buffers) send(w io.Writer, b body, compress bool) error {
	if b.length() <= writeBuffer {
		return b.writeTo(w)
	}
	gathered := p.writers.Get().(*bufio.Writer)
	defer p.writers.Put(gathered)
	defer gathered.Reset(nil) // or the response would be kept
	gathered.Reset(w)
	if compress {
		compressor := p.compressors.Get().(*gzip.Writer)
		defer p.compressors.Put(compressor)
		defer compressor.Reset(nil)
		compressor.Reset(gathered)
		if err := b.writeTo(compressor); err != nil {
			return err
		}
		if err := compressor.Close(); err != nil {
			return err
		}
	} else if err := b.writeTo(gathered); err != nil {
		return err
	}
	return gathered.Flush()
}

// indent spreads a JSON body over lines for people, as upstream's pretty serializer does.
func indent(b body) (raw, error) {
	var compact, indented bytes.Buffer
	if err := b.writeTo(&compact); err != nil {
		return nil, err
	}
	if err := json.Indent(&indented, bytes.TrimSuffix(compact.Bytes(), []byte("\n")), "", "  "); err != nil {
		return nil, err
	}
	return indented.Bytes(), nil
}
