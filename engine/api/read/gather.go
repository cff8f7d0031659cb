package read

import (
	"io"

	"gatehouse/engine/objects/cache"
)

// gatherer collects the pieces of an answer and writes them in large ones: every write to an HTTP/2 stream changes goroutines
// twice. Forms are copied, never handed on: a connection may read what it was given after Write has returned an error, when
// the form's memory may be gone. For the same reason, a buffer whose gatherer failed must not be used again.
type gatherer struct {
	to io.Writer
	// buffer is what has not been written yet; its capacity is never exceeded and must not be 0.
	buffer []byte
	// err is the first error of to; after it, nothing is written any more.
	err error
}

func (g *gatherer) bytes(p []byte) {
	for len(p) > 0 && g.err == nil {
		n := min(len(p), g.room())
		g.buffer = append(g.buffer, p[:n]...)
		p = p[n:]
	}
}

func (g *gatherer) form(f cache.Form) {
	for f.Len() > 0 && g.err == nil {
		n := min(f.Len(), g.room())
		g.buffer = f.Slice(0, n).AppendTo(g.buffer)
		f = f.Slice(n, f.Len())
	}
}

// room is how much fits into the buffer, which is emptied if it is full.
func (g *gatherer) room() int {
	if len(g.buffer) == cap(g.buffer) {
		g.flush()
	}
	return cap(g.buffer) - len(g.buffer)
}

// flush writes what is gathered, and returns the first error there has been.
func (g *gatherer) flush() error {
	if g.err == nil && len(g.buffer) > 0 {
		_, g.err = g.to.Write(g.buffer)
	}
	g.buffer = g.buffer[:0]
	return g.err
}
