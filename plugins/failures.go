package plugins

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"gatehouse/plugins/sandbox"
)

const (
	// maxFailures is how many failures are remembered of each plugin.
	maxFailures = 10
	// maxCause is how much is remembered of a failure's cause, in bytes: guests write into it.
	maxCause = 256
)

// Failure is one call that a plugin could not decide. It holds nothing of the request but what the guest itself says about it, and
// never credentials.
type Failure struct {
	Time time.Time
	// Role is the one in which the plugin was asked.
	Role sandbox.Role
	// Kind says in a word how it failed, Cause in a line of at most 256 bytes.
	Kind  sandbox.FaultKind
	Cause string
	// Revision is the one that failed; empty if nothing served.
	Revision string
}

// failures are a plugin's last ones, over all of its revisions. The zero value is ready.
type failures struct {
	mu   sync.Mutex // guards last
	last []Failure  // the oldest first
}

// add remembers a failure, and forgets the oldest when there are too many.
func (f *failures) add(one Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.last) == maxFailures {
		f.last = append(f.last[:0], f.last[1:]...)
	}
	f.last = append(f.last, one)
}

// list returns the failures, the newest first.
func (f *failures) list() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.Clone(f.last)
	slices.Reverse(list)
	return list
}

// failureOf is what is remembered of a fault.
func (c *call) failureOf(fault *sandbox.Fault, now time.Time) Failure {
	return Failure{Time: now, Role: c.role, Kind: fault.Kind, Cause: shorten(fault.Cause), Revision: c.state.revision}
}

// shorten cuts a text that a guest may have written to one line of maxCause bytes.
func shorten(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if len(text) <= maxCause {
		return text
	}
	const mark = "…"
	end := maxCause - len(mark)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// hide takes credentials out of what a guest may have quoted of them. Ones of a few letters stay: they would stand in any text.
func hide(fault *sandbox.Fault, credentials []string) *sandbox.Fault {
	const shortest = 4
	hidden := *fault
	for _, secret := range credentials {
		if len(secret) < shortest {
			continue
		}
		for _, text := range []*string{&hidden.Cause, &hidden.Quote, &hidden.Detail} {
			*text = strings.ReplaceAll(*text, secret, "[hidden]")
		}
	}
	return &hidden
}
