package sandbox

import (
	"crypto/rand"
	"io"
	"time"
)

// The runtime's WASI functions do as much at once as a guest asks for, without a look at the clock: gigabytes of randomness, or
// millions of spans to write. What they call of ours ends them when the guest's time is up.

const (
	// randomPiece is how many random bytes are made before the clock is looked at, some 50 µs of work.
	randomPiece = 64 << 10
	// writePieces is how many spans are written before.
	writePieces = 1024
)

// overdue reports whether the time is up of what the guest works at.
func (in *instance) overdue() bool {
	deadline, ok := in.work.ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// randomness fills buffers with random bytes, no more than a piece at a time. Its error is io.EOF when the guest is overdue, which
// the guest sees as one of WASI, if it comes to see anything.
type randomness struct{ in *instance }

var _ io.Reader = randomness{}

func (r randomness) Read(p []byte) (int, error) {
	if r.in.overdue() {
		return 0, io.EOF
	}
	return rand.Read(p[:min(len(p), randomPiece)])
}

// stream takes what the guest writes to a file of its own, until the guest is overdue.
type stream struct {
	in *instance
	to *text
	// writes counts those since the clock was last looked at.
	writes int
}

var _ io.Writer = (*stream)(nil)

func (s *stream) Write(p []byte) (int, error) {
	if s.writes++; s.writes == writePieces {
		s.writes = 0
		if s.in.overdue() {
			return 0, io.ErrClosedPipe
		}
	}
	return s.to.Write(p)
}
