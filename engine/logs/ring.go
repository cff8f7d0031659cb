// Package logs keeps the last lines of the server's log in memory, for those who ask for them over the API: they are what
// kubectl logs shows of the server's own Pod. It does not know what is logged; see package command for that.
package logs

import (
	"strings"
	"sync"
	"time"
)

const (
	// maxLine is how much is kept of one line, in bytes.
	maxLine = 16 << 10
	// cutMark ends a line that was longer.
	cutMark = " (cut)"
	// lineOverhead is about what a line takes besides its text.
	lineOverhead = 48
)

// Ring is an io.Writer that keeps the last lines written to it, and forgets older ones when it is full. It is safe for
// concurrent use; a reader never holds up a writer.
type Ring struct {
	limit int
	now   func() time.Time

	mu    sync.Mutex
	lines []line // guarded by mu, the oldest first
	// first is the number of the first of lines; numbers count all lines ever written. Guarded by mu.
	first int
	bytes int // what lines take; guarded by mu
	// more closes when there is another line. It is nil while nobody waits. Guarded by mu.
	more chan struct{}
}

// line is one line without its end.
type line struct {
	at   time.Time
	text string
}

func (l line) size() int { return len(l.text) + lineOverhead }

// NewRing makes a ring for limit bytes of lines.
func NewRing(limit int64) *Ring { return &Ring{limit: int(limit), now: time.Now} }

// Write implements io.Writer, and never fails. Each call is one or more whole lines, as loggers write them.
func (r *Ring) Write(p []byte) (int, error) {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for text := range strings.Lines(string(p)) {
		text = strings.TrimSuffix(text, "\n")
		if len(text) > maxLine {
			text = strings.ToValidUTF8(text[:maxLine], "") + cutMark
		}
		r.add(line{at, strings.Clone(text)})
	}
	return len(p), nil
}

// add is called with mu held.
func (r *Ring) add(l line) {
	r.lines = append(r.lines, l)
	r.bytes += l.size()
	forgotten := 0
	for r.bytes > r.limit && forgotten < len(r.lines)-1 { // the newest is always kept
		r.bytes -= r.lines[forgotten].size()
		r.lines[forgotten] = line{}
		forgotten++
	}
	r.lines = r.lines[forgotten:]
	r.first += forgotten
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// end is the number of the line that comes next.
func (r *Ring) end() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first + len(r.lines)
}

// tail is the number of the line from which on there are n, or all if there are fewer.
func (r *Ring) tail(n int64) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first + max(0, len(r.lines)-int(min(n, int64(len(r.lines)))))
}

// at returns the line of a number, or the oldest if that has been forgotten, and the line's number. Of a line that has not been
// written yet it says so, by what closes once there is one.
func (r *Ring) at(number int) (found line, is int, later <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	number = max(number, r.first)
	if number < r.first+len(r.lines) {
		return r.lines[number-r.first], number, nil
	}
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return line{}, number, r.more
}
