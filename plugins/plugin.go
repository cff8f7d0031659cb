package plugins

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gatehouse/plugins/sandbox"
)

// plugin is one name in the folder, from its file's coming to its going.
type plugin struct {
	name string
	// born is when the plugin came into the folder.
	born time.Time
	// configured is where the server's configuration says how the plugin is run; "" if it does not.
	configured string
	counts     counts
	// state is what requests see; loading replaces it as a whole.
	state atomic.Pointer[state]
	// recordings are those under way; nil for none. They are replaced as a whole.
	recordings atomic.Pointer[[]*Recording]
	// failures are its last ones.
	failures failures

	mu sync.Mutex // guards what follows, and that nothing is published after the file has gone
	// loading is set while a goroutine loads; again when the files have changed since it read them.
	loading, again bool
	// gone is set when the file has been removed.
	gone bool
	// stop ends a load whose file has gone; nil when none is under way.
	stop func()
	// attempts counts loads in a row that failed for a reason which may pass; retryAt is when to try again, zero for never.
	attempts int
	retryAt  time.Time
}

// state is a plugin at one moment. It does not change.
type state struct {
	// manifest says which requests concern the plugin. It is never nil.
	manifest *manifest
	// ungranted are capabilities that the module's author would like and the manifest does not grant.
	ungranted []string
	// roles are those it is asked in: what the module plays, as far as the manifest does not take it away.
	roles roleSet
	// module serves, made from the files whose revision this is; nil and "" when there is none that could.
	module   *sandbox.Module
	revision string
	since    time.Time
	// changed is when the plugin came into this state.
	changed time.Time
	// newest is the revision of the files that were read last, whether they serve or not; "" when none could be read.
	newest string
	// nature is what the bytes of the module tell.
	nature nature
	// digest identifies the compiled code of the module that serves, or that was refused; "" when none could be read.
	digest string
	// fault is why the newest files do not serve; nil when they do, or are still being loaded.
	fault error
	// loaded is closed once the first load has ended, or another state takes this one's place; requests that come before wait for it.
	loaded chan struct{}
	// conducts are how the revision behaves; nil when none serves.
	conducts *conducts
}

// pending reports whether the first load is still under way.
func (s *state) pending() bool { return s.module == nil && s.fault == nil }

// with is the state with another fault of the newest files.
func (s *state) with(fault error, newest string) *state {
	other := *s
	other.fault, other.newest, other.changed = fault, newest, time.Now()
	return &other
}

// want asks for the plugin's files to be loaded and reports whether the caller has to do it: otherwise the goroutine that is
// at it will once more.
func (p *plugin) want() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loading {
		p.again = true
		return false
	}
	p.loading = true
	return true
}

// done ends a load and reports whether the files have changed meanwhile, so that another must follow.
func (p *plugin) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := p.again && !p.gone
	p.again, p.loading = false, again
	return again
}

// busy reports whether a load is under way.
func (p *plugin) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loading
}

// publish makes s the plugin's state and returns the one that it replaces, if that has a module of its own. When the file has gone
// s is not published, and returned if it has.
func (p *plugin) publish(s *state) (retired *state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.state.Load()
	if p.gone {
		if s.module != old.module {
			return s.serving()
		}
		return nil
	}
	p.state.Store(s)
	if old.pending() && (!s.pending() || s.loaded != old.loaded) {
		close(old.loaded)
	}
	if old.module != s.module {
		return old.serving()
	}
	return nil
}

// serving is the state if it has a module, and otherwise nil.
func (s *state) serving() *state {
	if s.module == nil {
		return nil
	}
	return s
}

// remove marks the file as gone, stops a load and returns the state that served, if any did.
func (p *plugin) remove() *state {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	if p.stop != nil {
		p.stop()
	}
	p.endRecordings()
	s := p.state.Load()
	if s.pending() { // requests that wait for the load need not wait for ever
		p.state.Store(s.with(errors.New("its file has been removed"), ""))
		close(s.loaded)
	}
	return s.serving()
}

// loaded notes how a load ended, to try again later when the reason may pass.
func (p *plugin) loaded(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retryAt = time.Time{}
	if !passing(err) {
		p.attempts = 0
		return
	}
	p.retryAt = time.Now().Add(min(firstRetry<<p.attempts, lastRetry))
	p.attempts = min(p.attempts+1, 16)
}

// due reports whether a failed load is to be tried again by now.
func (p *plugin) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.retryAt.IsZero() && !now.Before(p.retryAt)
}

// passing reports whether a load's failure may be gone the next time: a machine too busy to start the guest in time, a file
// that the system could not read.
func passing(err error) bool {
	var fault *sandbox.Fault
	var system syscall.Errno
	return errors.As(err, &fault) && fault.Kind == sandbox.Overdue || errors.As(err, &system)
}

// begin notes how a load can be stopped. It reports false when the file has gone.
func (p *plugin) begin(stop func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop = stop
	return !p.gone
}
