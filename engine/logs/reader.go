package logs

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"
)

// timeFormat is how kubelets print times before lines.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// Options say which lines are read, and how. They mean what they do with kubelets: first the tail is found, of which then what is
// too old is left out.
type Options struct {
	// Follow has the reader wait for further lines.
	Follow bool
	// Timestamps has each line begin with its time.
	Timestamps bool
	// Tail is how many of the last lines to begin with; nil means all.
	Tail *int64
	// LimitBytes is after how many bytes the reader ends, within a line if need be; nil means none.
	LimitBytes *int64
	// Since leaves out lines before that time.
	Since time.Time
}

// Open reads what is kept, and with Follow what comes after it until ctx ends. A reader that is slower than the log misses what is
// forgotten meanwhile, and is told how much. The reader must be closed; it is for one goroutine, but for Close.
func (r *Ring) Open(ctx context.Context, options Options) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	reader := &reader{ring: r, ctx: ctx, cancel: cancel, options: options, left: math.MaxInt64, end: math.MaxInt}
	if !options.Follow {
		reader.end = r.end()
	}
	if options.LimitBytes != nil {
		reader.left = *options.LimitBytes
	}
	tail := int64(math.MaxInt64)
	if options.Tail != nil {
		tail = *options.Tail
	}
	reader.next = r.tail(tail)
	return reader
}

type reader struct {
	ring    *Ring
	ctx     context.Context
	cancel  context.CancelFunc
	options Options

	next, end int   // numbers of lines
	left      int64 // bytes until the limit
	pending   []byte
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.cancel()
	return nil
}

// Read implements io.Reader. It returns as many lines as there are and fit, and waits only if there are none.
func (r *reader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(r.pending) > 0 {
			taken := copy(p[n:], r.pending)
			n, r.pending = n+taken, r.pending[taken:]
			continue
		}
		later := r.fetch()
		switch {
		case len(r.pending) > 0:
		case n > 0:
			return n, nil
		case later == nil:
			return 0, io.EOF
		default:
			select {
			case <-later:
			case <-r.ctx.Done():
				return 0, io.EOF
			}
		}
	}
	return n, nil
}

// fetch makes the next line pending, if there is one. It returns what closes when there is, or nil if there will be none.
func (r *reader) fetch() (later <-chan struct{}) {
	for r.left > 0 && r.next < r.end && r.ctx.Err() == nil {
		found, number, later := r.ring.at(r.next)
		if later != nil {
			return later
		}
		missed := number - r.next
		r.next = number + 1
		if found.at.Before(r.options.Since) {
			continue
		}
		text := make([]byte, 0, len(timeFormat)+1+len(found.text)+1)
		if missed > 0 {
			text = fmt.Appendf(text, "(%d lines were forgotten before they could be read)\n", missed)
		}
		if r.options.Timestamps {
			text = append(found.at.UTC().AppendFormat(text, timeFormat), ' ')
		}
		text = append(append(text, found.text...), '\n')
		r.pending = text[:min(int64(len(text)), r.left)]
		r.left -= int64(len(r.pending))
		return nil
	}
	return nil
}
