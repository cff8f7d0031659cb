package read

import (
	"net/http"
	"sync"
	"time"
)

// endGrace is how long the client of a watch that has ended may take for what is being written to it. Then its stream is reset.
const endGrace = 2 * time.Second

// leash ends the writes of a watch that has ended. A write waits for as long as its client does not read, deaf to everything
// else: RATIONALE.md, "What becomes of a client that stops reading?".
type leash struct {
	controller *http.ResponseController
	timer      *time.Timer

	mu   sync.Mutex // guards over, and holds up the handler's end while its writer is used
	over bool
}

// newLeash lets writes go on until a watch's deadline and a little longer.
func newLeash(w http.ResponseWriter, left time.Duration) *leash {
	l := &leash{controller: http.NewResponseController(w)}
	l.timer = time.AfterFunc(left+endGrace, l.interrupt)
	return l
}

// hurry says that the watch has ended. It may be called from any goroutine, at any time and more than once, and never blocks.
func (l *leash) hurry() { l.timer.Reset(endGrace) }

// interrupt makes the write that is under way fail, if there is one. The connection lives on where it is HTTP/2.
func (l *leash) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		// It fails only if there is no connection behind the writer, whose writes then do not wait.
		_ = l.controller.SetWriteDeadline(time.Unix(1, 0))
	}
}

// release says that nothing is written any more: the writer is no longer used after that.
func (l *leash) release() {
	l.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}
