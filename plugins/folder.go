package plugins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the folder must be quiet before it is read, so that a file being copied is read once; patience is
	// how long that may go on.
	settle   = 100 * time.Millisecond
	patience = 500 * time.Millisecond
	// pollEvery is how often the folder is read when the system does not tell of changes.
	pollEvery = 500 * time.Millisecond
	// tidyEvery is how often idle instances are looked for, idleFor how long one may be idle. The folder is read then as well:
	// the system does not tell of changes behind links that lead out of it.
	tidyEvery = 30 * time.Second
	idleFor   = time.Minute
	// firstRetry is after how long a load that failed for a reason which may pass is tried again; it doubles up to lastRetry.
	firstRetry = 30 * time.Second
	lastRetry  = time.Hour
)

// folder watches a directory. It is used by one goroutine.
type folder struct {
	dir     string
	watcher *fsnotify.Watcher // nil when the system does not tell of changes, and the folder is polled
	// seen is what the files looked like when they were last looked at.
	seen map[string]os.FileInfo
	// touched are the files that the system has named since then.
	touched map[string]bool
}

// openFolder begins to watch dir. That it cannot be watched is told, and no obstacle.
func openFolder(dir string) (*folder, error) {
	f := &folder{dir: dir, touched: map[string]bool{}}
	return f, f.watch()
}

// watch asks the system to tell of changes.
func (f *folder) watch() error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the plugin folder: %w", err)
	}
	if err := watcher.Add(f.dir); err != nil {
		return errors.Join(fmt.Errorf("watch the plugin folder: %w", err), watcher.Close())
	}
	f.watcher = watcher
	return nil
}

// unwatch falls back to polling.
func (f *folder) unwatch() {
	if f.watcher != nil {
		_ = f.watcher.Close() // it frees a descriptor; nothing depends on how
		f.watcher = nil
	}
}

// events and errors are nil channels, which never deliver, while the folder is polled.
func (f *folder) events() chan fsnotify.Event {
	if f.watcher == nil {
		return nil
	}
	return f.watcher.Events
}

func (f *folder) errors() chan error {
	if f.watcher == nil {
		return nil
	}
	return f.watcher.Errors
}

// note remembers what an event is about.
func (f *folder) note(event fsnotify.Event) {
	if name, ok := pluginName(filepath.Base(event.Name)); ok {
		f.touched[name] = true
	}
	if filepath.Clean(event.Name) == filepath.Clean(f.dir) && event.Has(fsnotify.Remove|fsnotify.Rename) {
		f.unwatch() // the folder itself has gone; polling finds the one that takes its place
	}
}

// scan reads the directory. It returns the plugins there are, in order, and those whose files have changed since the last
// scan.
func (f *folder) scan() (names, changed []string, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read the plugin folder: %w", err)
	}
	seen := make(map[string]os.FileInfo, len(entries))
	for _, entry := range entries {
		file := entry.Name()
		name, ok := pluginName(file)
		if !ok {
			continue
		}
		// Links are followed: a mounted ConfigMap is all links.
		info, err := os.Stat(filepath.Join(f.dir, file))
		if err != nil {
			info = nil // a dangling link, say; the load tells
		}
		seen[file] = info
		if strings.HasSuffix(file, moduleSuffix) {
			names = append(names, name)
		}
		if old, known := f.seen[file]; !known || !sameFile(old, info) {
			f.touched[name] = true
		}
	}
	for file := range f.seen {
		if _, still := seen[file]; !still {
			name, _ := pluginName(file)
			f.touched[name] = true
		}
	}
	for name := range f.touched {
		changed = append(changed, name)
	}
	slices.Sort(names)
	f.seen, f.touched = seen, map[string]bool{}
	return names, changed, nil
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// pluginName is the plugin a file belongs to. Hidden files, such as editors' and copying tools' temporary ones, belong to
// none.
func pluginName(file string) (string, bool) {
	if strings.HasPrefix(file, ".") {
		return "", false
	}
	for _, suffix := range []string{moduleSuffix, manifestSuffix, signatureSuffix, ".yml"} {
		if name, ok := strings.CutSuffix(file, suffix); ok {
			return name, true
		}
	}
	return "", false
}

// follow keeps the set up with its folder until the set is closed.
func (s *Set) follow(f *folder) {
	defer f.unwatch()
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	var quiet <-chan time.Time // delivers when the folder has settled
	var since time.Time        // when the first change came that has not been read
	for {
		var poll <-chan time.Time
		if f.watcher == nil {
			poll = time.After(pollEvery)
		}
		select {
		case <-s.ctx.Done():
			return
		case event := <-f.events():
			f.note(event)
			if quiet == nil {
				since = time.Now()
			}
			quiet = time.After(min(settle, max(0, patience-time.Since(since))))
		case err := <-f.errors():
			s.options.Logger.Warn("lost sight of changes in the plugin folder, reading all of it", "cause", err)
			quiet = time.After(settle)
		case <-quiet:
			quiet = nil
			s.rescan(f)
		case <-poll:
			_ = f.watch() // it has been said that it fails; once it works there is nothing to say
			s.rescan(f)
		case scanned := <-s.syncs:
			s.rescan(f)
			close(scanned)
		case now := <-tidy.C:
			s.trim(now.Add(-idleFor))
			s.forgive(now)
			s.rescan(f)
			s.retry(now)
		}
	}
}

// rescan brings the set up to what is in the folder.
func (s *Set) rescan(f *folder) {
	names, changed, err := f.scan()
	if err != nil {
		// An unreadable folder must not open the gate: what is loaded stays.
		if s.blind.CompareAndSwap(false, true) {
			s.options.Logger.Error("cannot read the plugin folder, its plugins serve on as they are", "folder", f.dir, "cause", err)
		}
		return
	}
	s.blind.Store(false)
	names = s.withConfigured(names)
	current := make(map[string]*plugin)
	for _, p := range s.plugins() {
		current[p.name] = p
	}
	next := make([]*plugin, 0, len(names))
	for _, name := range names {
		p, known := current[name]
		if !known {
			p = newPlugin(&s.options, name)
		}
		delete(current, name)
		next = append(next, p)
		if !known || slices.Contains(changed, name) {
			s.startLoad(p)
		}
	}
	s.reshuffle(next)
	for _, p := range current {
		s.options.Logger.Info("plugin removed", "plugin", p.name)
		if retired := p.remove(); retired != nil {
			s.retire(retired)
		}
	}
	s.announce()
}

// withConfigured adds the plugins that the server's configuration knows, of which names has those in the folder.
func (s *Set) withConfigured(names []string) []string {
	for name := range s.options.Configurations {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// startLoad has the plugin's files loaded in the background.
func (s *Set) startLoad(p *plugin) {
	if !p.want() {
		return
	}
	s.background.Add(1)
	go func() {
		defer s.background.Done()
		s.load(p)
	}()
}

// retry has loads tried again that failed for a reason which may have passed.
func (s *Set) retry(now time.Time) {
	for _, p := range s.plugins() {
		if p.due(now) {
			s.startLoad(p)
		}
	}
}

// trim drops instances that have been idle since before t.
func (s *Set) trim(t time.Time) {
	for _, p := range s.plugins() {
		if m := p.state.Load().module; m != nil {
			m.Trim(t)
		}
	}
}
