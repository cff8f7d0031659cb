// Package leash ends the writes of answers that are over. A write waits for as long as its client does not read, deaf to
// everything else: engine/RATIONALE.md, "What becomes of a client that stops reading?".
package leash

import (
	"math"
	"net/http"
	"sync"
	"time"
)

const (
	// Grace is how long the client of an answer that has ended may take for what is being written to it. Then its stream is reset.
	Grace = 2 * time.Second
	// Endless is the time left to an answer that ends only when somebody says so.
	Endless = math.MaxInt64 - Grace
)

// Leash is held by the handler of one request, which releases it before it returns.
type Leash struct {
	controller *http.ResponseController
	timer      *time.Timer

	mu   sync.Mutex // guards over, and holds up the handler's end while its writer is used
	over bool
}

// New lets writes to w go on for the time that is left, and Grace longer.
func New(w http.ResponseWriter, left time.Duration) *Leash {
	l := &Leash{controller: http.NewResponseController(w)}
	l.timer = time.AfterFunc(left+Grace, l.interrupt)
	return l
}

// Hurry says that the answer has ended. It may be called from any goroutine, at any time and more than once, and never blocks.
func (l *Leash) Hurry() { l.timer.Reset(Grace) }

// interrupt makes the write that is under way fail, if there is one. The connection lives on where it is HTTP/2.
func (l *Leash) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		// It fails only if there is no connection behind the writer, whose writes then do not wait.
		_ = l.controller.SetWriteDeadline(time.Unix(1, 0))
	}
}

// Release says that nothing is written any more: the writer is no longer used after that.
func (l *Leash) Release() {
	l.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}
