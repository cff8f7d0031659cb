package harness

import (
	"bytes"
	"strings"
	"sync"
)

// Log collects what a process prints. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (l *Log) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(text)
}

// String is everything printed so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// alarms are words that no server may print, whatever is done to it. Upstream writes some of them where it swallows an error.
func alarms() []string {
	return []string{"DATA RACE", "SHOULD NOT HAPPEN", "panic: ", "goroutine 1 [", "fatal error: "}
}

// Alarms are the lines that no server may print, empty if it printed none.
func (l *Log) Alarms() []string {
	var found []string
	for line := range strings.Lines(l.String()) {
		for _, alarm := range alarms() {
			if strings.Contains(line, alarm) {
				found = append(found, line)
				break
			}
		}
	}
	return found
}
