package kubelet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Log is what a container has printed. It is safe for concurrent use.
type Log struct {
	mu     sync.Mutex
	lines  []logLine     // guarded by mu
	more   chan struct{} // closes when there are more lines; guarded by mu
	closed bool          // guarded by mu
	// following is how many requests follow the log; guarded by mu.
	following int
}

type logLine struct {
	at   time.Time
	text string
}

type logOptions struct {
	tail, limit, since int
	follow, timestamps bool
}

func newLog() *Log { return &Log{more: make(chan struct{})} }

// Print adds a line that is printed now.
func (l *Log) Print(text string) { l.PrintAt(time.Now(), text) }

// PrintAt adds a line that was printed at a time.
func (l *Log) PrintAt(at time.Time, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, logLine{at, text})
	close(l.more)
	l.more = make(chan struct{})
}

// Following is how many requests follow the log now.
func (l *Log) Following() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.following
}

func (l *Log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.more)
		l.more = make(chan struct{})
	}
}

func (l *Log) follow(by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.following += by
}

// from returns the lines from one on, and what closes when there are more, nil if there will be none.
func (l *Log) from(first int) ([]logLine, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.lines[first:], nil
	}
	return l.lines[first:], l.more
}

func (l *Log) write(ctx context.Context, w http.ResponseWriter, options logOptions) {
	w.WriteHeader(http.StatusOK)
	if options.follow {
		l.follow(1)
		defer l.follow(-1)
	}
	next := 0
	if all, _ := l.from(0); options.tail >= 0 {
		next = max(0, len(all)-options.tail)
	}
	for {
		lines, more := l.from(next)
		next += len(lines)
		for _, line := range lines {
			if options.since > 0 && time.Since(line.at) > time.Duration(options.since)*time.Second {
				continue
			}
			text := line.text + "\n"
			if options.timestamps {
				text = line.at.Format(time.RFC3339Nano) + " " + text
			}
			if options.limit >= 0 {
				text = text[:min(len(text), options.limit)]
				options.limit -= len(text)
			}
			if _, err := io.WriteString(w, text); err != nil || options.limit == 0 {
				return
			}
		}
		w.(http.Flusher).Flush()
		if !options.follow || more == nil {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// String is the whole log.
func (l *Log) String() string {
	lines, _ := l.from(0)
	return fmt.Sprint(lines)
}
