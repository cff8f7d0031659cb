// Package files keeps what the server reads from files of its configuration up to date while it runs: a file that changes is
// read anew, and one that is broken leaves what it held before in use, which is logged once.
//
// It notices files written in place, replaced by rename as editors do it, and links that lead elsewhere, as the mounted
// ConfigMaps and Secrets of Kubernetes do. What a file means is for whoever opens it.
package files

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long nothing must have changed before files are read, so that one being written is read once; patience is
	// how long that may go on.
	settle   = 50 * time.Millisecond
	patience = 500 * time.Millisecond
	// lookAnyway is how often files are read although the system told of no change: it does not for what lies on network file
	// systems or behind links behind links.
	lookAnyway = 30 * time.Second
	// lookBlind is how often when the system tells of no changes at all.
	lookBlind = time.Second
)

// Set is the files of one server. Its methods are safe for concurrent use.
type Set struct {
	logger *slog.Logger
	stop   context.CancelFunc
	done   sync.WaitGroup

	watcher *fsnotify.Watcher // nil when the system tells of no changes

	mu      sync.Mutex
	watched []watched // guarded by mu
}

// watched is a path, and what to do when something may have changed there.
type watched struct {
	path string
	// target is where links from path led when it was last looked at, path itself if there are none.
	target string
	look   func()
}

// NewSet makes a set without files. The logger hears of files that were read anew, and of broken ones. Close ends it.
func NewSet(logger *slog.Logger) *Set {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		watcher = nil
		logger.Warn("this system does not tell of changed files; looking at them every now and then", "every", lookBlind, "error", err)
	}
	return newSet(logger, watcher)
}

// newSet makes a set that hears of changes from a watcher, or looks for them if that is nil.
func newSet(logger *slog.Logger, watcher *fsnotify.Watcher) *Set {
	ctx, stop := context.WithCancel(context.Background())
	s := &Set{logger: logger, stop: stop, watcher: watcher}
	s.done.Go(func() { s.run(ctx) })
	return s
}

// Close ends the watching and waits for it. What was read stays readable.
func (s *Set) Close() {
	s.stop()
	s.done.Wait()
}

// Watch has look called, on the set's goroutine, whenever something at path may have changed: path itself or, if it is a
// directory, what is in it. look finds out by itself what did, and returns soon.
func (s *Set) Watch(path string, look func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path = filepath.Clean(path)
	s.watched = append(s.watched, watched{path: path, look: look})
	s.follow(&s.watched[len(s.watched)-1])
}

// follow asks the system to tell of changes at a path, where links from there lead, and beside both, for files are replaced
// by others. It is called with mu held.
func (s *Set) follow(w *watched) {
	w.target = w.path
	if target, err := filepath.EvalSymlinks(w.path); err == nil {
		w.target = target
	}
	if s.watcher == nil {
		return
	}
	for _, path := range []string{w.path, w.target} {
		// A file that is not there now may be later, beside those that are; and lookAnyway is for what cannot be watched.
		_ = s.watcher.Add(filepath.Dir(path))
		_ = s.watcher.Add(path)
	}
}

func (s *Set) run(ctx context.Context) {
	var events chan fsnotify.Event
	var failures chan error
	every := lookBlind
	if s.watcher != nil {
		defer func() { _ = s.watcher.Close() }() // it frees a descriptor; nothing depends on how
		events, failures, every = s.watcher.Events, s.watcher.Errors, lookAnyway
	}
	anyway := time.NewTicker(every)
	defer anyway.Stop()
	quiet := time.NewTimer(0)
	<-quiet.C
	defer quiet.Stop()
	var since time.Time // of the first change that was not looked at yet
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-events:
			if !s.concerns(event) {
				continue
			}
			now := time.Now()
			if since.IsZero() {
				since = now
			}
			quiet.Reset(min(settle, time.Until(since.Add(patience))))
		case <-failures: // events were lost, so anything may have changed
			quiet.Reset(settle)
		case <-quiet.C:
			since = time.Time{}
			s.look()
		case <-anyway.C:
			s.look()
		}
	}
}

// concerns tells whether an event is about a watched path. The directories hold other files, which may change all the time.
func (s *Set) concerns(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	name := filepath.Clean(event.Name)
	if strings.HasPrefix(filepath.Base(name), "..") {
		return true // what Kubernetes swaps when it changes a mounted ConfigMap
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := filepath.Dir(name)
	for i := range s.watched {
		w := &s.watched[i]
		if name == w.path || dir == w.path || name == w.target || dir == w.target {
			return true
		}
	}
	return false
}

func (s *Set) look() {
	s.mu.Lock()
	all := make([]func(), len(s.watched))
	for i := range s.watched {
		s.follow(&s.watched[i]) // what was watched may have been replaced
		all[i] = s.watched[i].look
	}
	s.mu.Unlock()
	for _, look := range all {
		look()
	}
}
