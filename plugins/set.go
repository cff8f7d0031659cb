package plugins

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"gatehouse/plugins/capability"
	"gatehouse/plugins/sandbox"
	"gatehouse/plugins/signature"
)

// Options say where plugins are and how they are run.
type Options struct {
	// Dir is the folder; it must exist.
	Dir string
	// CacheDir keeps compiled code between starts; it is made when needed. Empty compiles at each start. Its content is run
	// as native code: it must be the server's alone.
	CacheDir string
	// Logger takes what the host and the guests have to say. Nil is slog's default.
	Logger *slog.Logger
	// Limits are those of plugins that do not set their own; zero fields are sandbox.DefaultLimits'.
	Limits sandbox.Limits
	// PublicKeys are those of whom one must have signed every module; without any, modules need no signature.
	PublicKeys []signature.PublicKey
	// Configurations are how single plugins are run, by their names, in place of NAME.yaml. One whose module is not in the folder is a
	// broken plugin, for somebody counts on it.
	Configurations map[string]Configured
	// LoadWait is how long a request waits for a plugin whose first load is under way; 0 is ten seconds.
	LoadWait time.Duration
	// Exempt, when given, tells the requests no plugin is asked about by their context: the server's own, without which it
	// cannot run at all. It must go by something that no client can have.
	Exempt func(context.Context) bool
	// Namespaces and Client know namespaces, whose labels plugins may select by. Client is asked about those that Namespaces does not have,
	// or not yet; it may be nil if there are none. Without Namespaces a plugin with a namespaceSelector is broken.
	Namespaces corelisters.NamespaceLister
	Client     kubernetes.Interface
	// Authorizer answers what matchConditions ask about what may be done; nil lets such conditions fail.
	Authorizer authorizer.UnconditionalAuthorizer
	// Operations are what guests can ask of the server by name. Each is open to every plugin.
	Operations map[string]sandbox.Operation
	// Capabilities are what else they can ask, each as far as its configuration grants it.
	Capabilities capability.Host
}

// Configured is the configuration of a plugin that does not lie in its folder.
type Configured struct {
	// YAML is what NAME.yaml could hold.
	YAML []byte
	// Origin says where it stands, for messages.
	Origin string
}

// Set is the plugins of a folder. Its methods may be called from several goroutines.
type Set struct {
	options Options
	exempt  []schema.GroupResource
	now     func() time.Time // for quarantines
	seed    maphash.Seed     // of hashes of credentials
	// namespaces knows the labels of namespaces.
	namespaces namespace.Matcher
	ctx        context.Context // ends when the set is closed
	cancel     context.CancelFunc

	// roster is the plugins in the order in which they are asked. Only the goroutine that follows the folder adds and removes
	// any.
	roster    atomic.Pointer[roster]
	shuffling sync.Mutex // guards that no roster replaces one made of newer states
	// compiling holds a token for each load at work, so that many files do not take all memory at once.
	compiling chan struct{}
	// compiled keeps compiled code on disk.
	compiled compiledCode
	// syncs asks the goroutine that follows the folder to read it now; the channel sent is closed when it has.
	syncs chan chan struct{}
	// blind is set while the folder cannot be read, to say so once.
	blind atomic.Bool
	// recordings counts those under way.
	recordings atomic.Int64
	// background counts the goroutines: the one that follows the folder, loads, and modules that finish their requests.
	background sync.WaitGroup

	mu      sync.Mutex    // guards changed
	changed chan struct{} // closed and replaced whenever a plugin's status changes
}

// Open reads the folder and begins to load what is in it, in the background: it returns before any module is compiled.
// Close must be called; ctx only bounds the opening.
func Open(ctx context.Context, options Options) (*Set, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.LoadWait == 0 {
		options.LoadWait = 10 * time.Second
	}
	options.Limits = options.Limits.Or(sandbox.DefaultLimits())
	if info, err := os.Stat(options.Dir); err != nil {
		return nil, fmt.Errorf("open plugin folder: %w: create it, or name another", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open plugin folder: %s is a file: name the folder that holds it", options.Dir)
	}
	limitCopies()
	s := &Set{
		options:    options,
		exempt:     exemptResources(),
		now:        time.Now,
		seed:       maphash.MakeSeed(),
		namespaces: namespace.Matcher{NamespaceLister: options.Namespaces, Client: options.Client},
		compiling:  make(chan struct{}, runtime.GOMAXPROCS(0)),
		compiled:   compiledCode{dir: options.CacheDir, logger: options.Logger, users: map[string]int{}},
		syncs:      make(chan chan struct{}),
		changed:    make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.roster.Store(newRoster(nil))
	f, err := openFolder(options.Dir)
	if err != nil {
		options.Logger.Warn("the system does not tell of changes in the plugin folder, reading it twice a second", "cause", err)
	}
	s.rescan(f)
	if s.blind.Load() {
		s.Close()
		f.unwatch()
		return nil, fmt.Errorf("open plugin folder: %s cannot be read: allow the server's user to", options.Dir)
	}
	s.background.Add(2)
	go func() {
		defer s.background.Done()
		s.follow(f)
	}()
	go func() {
		defer s.background.Done()
		if s.Wait(s.ctx) == nil {
			s.compiled.prune()
		}
	}()
	return s, nil
}

// Close stops following the folder, lets the requests under way finish, and frees everything. Requests that come later are
// denied where a plugin would have been asked. It must be called once.
func (s *Set) Close() {
	s.cancel()
	s.background.Wait()
	for _, p := range s.plugins() {
		if m := p.state.Load().module; m != nil {
			m.Close()
		}
	}
}

// Admission is the member of the admission chain that asks the selected plugins, in the order of their names: those in their
// phase mutate first, each seeing what the ones before it changed.
func (s *Set) Admission(selection Selection) admission.Interface { return &gate{s, selection} }

// List returns every plugin's status, in the order in which they are asked.
func (s *Set) List() []Status {
	members := s.plugins()
	list := make([]Status, len(members))
	for i, p := range members {
		list[i] = p.status()
	}
	return list
}

// Ready is nil when no plugin's first load is under way, and otherwise names those that are. A broken plugin does not keep
// a server from being ready: it can still be read from, and repaired.
func (s *Set) Ready() error {
	var loading []string
	for _, p := range s.plugins() {
		if p.state.Load().pending() {
			loading = append(loading, p.name)
		}
	}
	if len(loading) > 0 {
		return fmt.Errorf("loading plugins: %s", strings.Join(loading, ", "))
	}
	return nil
}

// Wait returns once Ready is nil, or ctx ends.
func (s *Set) Wait(ctx context.Context) error {
	return s.await(ctx, func() bool { return s.Ready() == nil })
}

// Sync reads the folder now and returns when every change found in it has been loaded or refused, or ctx ends.
func (s *Set) Sync(ctx context.Context) error {
	scanned := make(chan struct{})
	select {
	case s.syncs <- scanned:
	case <-s.ctx.Done():
		return errors.New("read the plugin folder: the set is closed")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	<-scanned
	return s.await(ctx, func() bool { return !s.busy() })
}

// busy reports whether any plugin is being loaded.
func (s *Set) busy() bool {
	return slices.ContainsFunc(s.plugins(), (*plugin).busy)
}

// Changed returns a channel that is closed when any plugin's status next changes. Get it before looking at List.
func (s *Set) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// announce tells those who wait on Changed.
func (s *Set) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// await returns once met is true, asking again after each change.
func (s *Set) await(ctx context.Context, met func() bool) error {
	for {
		changed := s.Changed()
		if met() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ownRequest reports whether a request is the server's own.
func (s *Set) ownRequest(ctx context.Context) bool {
	return s.options.Exempt != nil && s.options.Exempt(ctx)
}

func (s *Set) plugins() []*plugin { return s.roster.Load().all }
