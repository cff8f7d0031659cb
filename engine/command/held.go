package command

import (
	"bytes"
	"io"
	"sync"
)

// heldWriter keeps what is written until it is released, and passes it on from then. It holds back the log while a server
// starts, so that the lines which say where it listens come first. It is safe for concurrent use.
type heldWriter struct {
	to io.Writer

	mu       sync.Mutex // guards all below, and the order of writes to to
	held     bytes.Buffer
	released bool
}

// Write implements io.Writer.
func (w *heldWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.released {
		return w.to.Write(p)
	}
	return w.held.Write(p)
}

// release may be called more than once. What cannot be written then is lost, as any other line of a log would be.
func (w *heldWriter) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.released {
		return
	}
	w.released = true
	_, _ = w.to.Write(w.held.Bytes())
	w.held = bytes.Buffer{}
}
