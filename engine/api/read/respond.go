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
	"sigs.k8s.io/yaml"

	"gatehouse/engine/objects/cache"
)

const (
	// gzipThreshold is the size beyond which answers are compressed for clients that ask for it, as upstream has it.
	gzipThreshold = 128 << 10
	// writeBuffer is how much is gathered before it is written.
	writeBuffer = 128 << 10
)

// body is an answer ready to be sent.
type body interface {
	// length is how many bytes writeTo writes.
	length() int
	writeTo(*gatherer)
}

// single is the body of an answer of one object.
type single struct {
	envelope envelope
	item     cache.Form
	encoding cache.Encoding
}

func (s single) length() int {
	if s.encoding == cache.Protobuf {
		return s.envelope.protobufSize(s.item.Len())
	}
	return s.envelope.jsonSize(s.item) + len("\n")
}

func (s single) writeTo(g *gatherer) {
	if s.encoding == cache.Protobuf {
		g.bytes(s.envelope.beginProtobuf(make([]byte, 0, 64), s.item.Len()))
		g.form(s.item)
		g.bytes(protobufTail[:])
		return
	}
	g.bytes(s.envelope.beginJSON(s.item))
	g.form(s.item.Slice(len("{"), s.item.Len()))
	g.bytes([]byte{'\n'})
}

func (l *spliced) length() int { return l.size }

// raw is a body of bytes.
type raw []byte

func (b raw) length() int { return len(b) }

func (b raw) writeTo(g *gatherer) { g.bytes(b) }

// buffers are lent to answers under way.
type buffers struct {
	gathered    sync.Pool // of *[]byte, empty and of writeBuffer
	writers     sync.Pool // of *bufio.Writer
	compressors sync.Pool // of *gzip.Writer
	wrappers    sync.Pool // of *gzip.Writer, which do not compress
	frames      sync.Pool // of *[]byte
}

func newBuffers() *buffers {
	return &buffers{
		gathered: sync.Pool{New: func() any {
			buffer := make([]byte, 0, writeBuffer)
			return &buffer
		}},
		writers:     sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }},
		compressors: sync.Pool{New: func() any { return newCompressor(gzip.BestSpeed) }},
		wrappers:    sync.Pool{New: func() any { return newCompressor(gzip.NoCompression) }},
		frames:      sync.Pool{New: func() any { return new([]byte) }},
	}
}

// newCompressor makes one of a level that spends the least time: on a LAN, more would cost more than it saves.
func newCompressor(level int) *gzip.Writer {
	compressor, err := gzip.NewWriterLevel(nil, level)
	if err != nil {
		return gzip.NewWriter(nil) // cannot be: the level is one of the library's
	}
	return compressor
}

// responding prepares to send a body as the client wants it written.
func (r *Reader) responding(w http.ResponseWriter, req *http.Request, rep representation, b body) (func(), Reason) {
	var err error
	switch {
	case rep.pretty:
		b, err = rewrite(b, indent)
	case rep.yaml:
		b, err = rewrite(b, yaml.JSONToYAML)
	}
	if err != nil {
		return nil, Unreadable
	}
	return func() { r.respond(w, req, rep.mediaType, b) }, reasonNone
}

// respond sends an answer of status 200. What goes wrong from here on is the connection's fault, and ends it.
func (r *Reader) respond(w http.ResponseWriter, req *http.Request, mediaType string, b body) {
	header := w.Header()
	header.Set("Content-Type", mediaType)
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
	switch {
	case compress:
		return p.sendCompressed(w, b)
	case b.length() <= writeBuffer:
		return gather(w, b, make([]byte, 0, max(b.length(), 1)))
	default:
		return p.gather(w, b)
	}
}

// gather writes the body through a buffer that is lent.
func (p *buffers) gather(w io.Writer, b body) error {
	buffer := p.gathered.Get().(*[]byte)
	if err := gather(w, b, *buffer); err != nil {
		return err // and the buffer is lost, for the connection may still read it
	}
	p.gathered.Put(buffer)
	return nil
}

func (p *buffers) sendCompressed(w io.Writer, b body) error {
	out, compressor := p.writers.Get().(*bufio.Writer), p.compressors.Get().(*gzip.Writer)
	out.Reset(w)
	compressor.Reset(out)
	err := p.gather(compressor, b)
	if err == nil {
		err = compressor.Close()
	}
	if err == nil {
		err = out.Flush()
	}
	compressor.Reset(nil)
	p.compressors.Put(compressor)
	if err != nil {
		return err // and the writer is lost: see gather
	}
	out.Reset(nil) // or the response would be kept
	p.writers.Put(out)
	return nil
}

// gather writes the body by way of a buffer, which must be empty and have room.
func gather(w io.Writer, b body, buffer []byte) error {
	g := &gatherer{to: w, buffer: buffer}
	b.writeTo(g)
	return g.flush()
}

// rewrite makes another body of all of a JSON body, without the line end.
func rewrite(b body, change func(compact []byte) ([]byte, error)) (body, error) {
	var whole bytes.Buffer
	if err := gather(&whole, b, make([]byte, 0, min(max(b.length(), 1), writeBuffer))); err != nil {
		return nil, err
	}
	changed, err := change(bytes.TrimSuffix(whole.Bytes(), []byte("\n")))
	return raw(changed), err
}

// indent spreads JSON over lines for people, as upstream's pretty serializer does.
func indent(compact []byte) ([]byte, error) {
	var indented bytes.Buffer
	err := json.Indent(&indented, compact, "", "  ")
	return indented.Bytes(), err
}
