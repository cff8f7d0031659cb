package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"gatehouse/plugins/meter"
)

// Operation is something a guest may ask of the host by name through host_call. ctx carries the guest's deadline and the
// values of the request the guest works for. It must not keep payload. It is called from several goroutines at once.
type Operation func(ctx context.Context, payload []byte) ([]byte, error)

// Options say how a module is run.
type Options struct {
	// Limits bound the guest; zero fields mean the defaults.
	Limits Limits
	// Settings is the JSON object given to configure; nil means {}.
	Settings []byte
	// SettingsFields answers look-ups in the settings while configure is at work, for several instances at once; nil answers
	// every one with Absent.
	SettingsFields Fields
	// CacheDir keeps compiled code between starts; empty compiles each time. What lies there is run as native code: nobody
	// else may write to it.
	CacheDir string
	// Logger takes what the guest logs and writes; it should already name the plugin. Required.
	Logger *slog.Logger
	// Operations are what host_call reaches; any other name answers the guest a failure.
	Operations map[string]Operation
	// Protocol is how the guest is spoken to; nil means the native ABI. SettingsFields and Operations are for native guests alone.
	Protocol Protocol
}

// Module is one compiled guest with its pool of instances. Its methods may be called from several goroutines.
type Module struct {
	options  Options
	protocol Protocol
	cache    wazero.CompilationCache // nil without CacheDir
	runtime  wazero.Runtime
	code     wazero.CompiledModule
	roles    []Role
	pool     *pool
	memory   atomic.Int64 // bytes of linear memory that instances have
}

// Usage is what a module takes at one moment.
type Usage struct {
	// Instances are those that there are, and Busy those of them that are at work or being made.
	Instances, Busy int
	// Memory is the linear memory that they have together, in bytes.
	Memory int64
}

// Usage tells what the module takes.
func (m *Module) Usage() Usage {
	busy, idle := m.pool.count()
	return Usage{Instances: busy + idle, Busy: busy, Memory: m.memory.Load()}
}

// Limits are those of each instance, with no field zero.
func (m *Module) Limits() Limits { return m.options.Limits }

// Load compiles wasm, checks that it keeps the ABI, and makes a first instance so that a guest which cannot start or
// rejects its settings is found out now. The error is a *Fault when the module is to blame. Cancelling ctx gives up.
func Load(ctx context.Context, wasm []byte, options Options) (*Module, error) {
	options.Limits = options.Limits.Or(DefaultLimits())
	if options.Protocol == nil {
		options.Protocol = native{operations: options.Operations}
	}
	prepared, err := options.Protocol.Prepare(wasm)
	if err != nil {
		return nil, err
	}
	metered, err := meter.Rewrite(prepared)
	if err != nil {
		return nil, faultf(Rejected, "%v", err)
	}
	m, err := compile(ctx, metered, options)
	if err != nil && options.CacheDir != "" && ctx.Err() == nil {
		// A damaged entry or a full disk must not take a good plugin down: what compiles without the cache is good.
		withCache := err
		options.CacheDir = ""
		if m, err = compile(ctx, metered, options); err == nil {
			options.Logger.Warn("compiled without the cache, each start will be slow: empty the cache directory "+
				"and check that its disk has room", "cause", firstLine(withCache))
		}
	}
	if err != nil {
		return nil, err
	}
	if err := m.warm(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// compile makes the module's own runtime: memory limits are per runtime, and closing it frees all of a revision at once.
func compile(ctx context.Context, wasm []byte, options Options) (*Module, error) {
	m := &Module{options: options, protocol: options.Protocol, pool: newPool(options.Limits.Instances)}
	if err := m.build(ctx, wasm); err != nil {
		m.free()
		return nil, err
	}
	return m, nil
}

func (m *Module) build(ctx context.Context, wasm []byte) (err error) {
	defer func() {
		// The compiler is large and modules come from strangers: a bug in it must cost a plugin, not the server.
		if r := recover(); r != nil {
			err = faultf(Rejected, "cannot be compiled: the compiler failed: %v", r)
		}
	}()
	config := wazero.NewRuntimeConfig().
		WithMemoryLimitPages(m.options.Limits.pages()).
		WithDebugInfoEnabled(false)
	if m.options.CacheDir != "" {
		if m.cache, err = wazero.NewCompilationCacheWithDir(m.options.CacheDir); err != nil {
			return fmt.Errorf("open compile cache: %w", err)
		}
		config = config.WithCompilationCache(m.cache)
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	// Several workers are also what makes the compiler look at ctx.
	m.code, err = m.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, 2), wasm)
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("compile: %w", cause)
	}
	if err != nil {
		return faultf(Rejected, "cannot be compiled: %s", firstLine(err))
	}
	if m.roles, err = m.protocol.Check(m.code); err != nil {
		return err
	}
	if err := checkMemories(m.code); err != nil {
		return err
	}
	return m.link(ctx)
}

// link provides the modules that the guest imports, and only those: most of what WASI costs is its host module.
func (m *Module) link(ctx context.Context) error {
	if err := meter.Provide(ctx, m.runtime); err != nil {
		return err
	}
	if imports(m.code, wasiModule) {
		if _, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
			return fmt.Errorf("provide %s: %w", wasiModule, err)
		}
	}
	if err := m.protocol.Link(ctx, m.runtime, m.code); err != nil {
		return err
	}
	return checkFunctions(m.runtime, m.code)
}

// warm makes the first instance and leaves it in the pool.
func (m *Module) warm(ctx context.Context) error {
	in, err := m.acquire(ctx)
	if err != nil {
		return err
	}
	m.pool.put(in)
	return nil
}

// Roles lists the parts the guest plays, in the order in which a request meets them.
func (m *Module) Roles() []Role { return slices.Clone(m.roles) }

// Request is what a guest is asked.
type Request struct {
	// Payload is the review; it is copied into the guest's memory, unless the guest looks at it by field only.
	Payload []byte
	// Encode, when given, makes the payload for a guest that takes one. Its error is passed on.
	Encode func() ([]byte, error)
	// Fields answers the guest's look-ups while it works on the review; nil answers every one with Absent.
	Fields Fields
}

// Fields answers JSON pointers (RFC 6901) into the review a guest works on, as the payload would. An error is a look-up that
// makes no sense, such as a malformed pointer; it is told to the guest and harms nothing. One call uses it from one
// goroutine.
type Fields interface {
	Field(pointer string) (Value, error)
}

// Call asks the guest in one role and gives its answer to accept, which must not keep the bytes: they are the guest's.
// What the guest has done wrong comes back as a *Fault, and so does an error of accept that is a *Fault; either way the
// instance is thrown away. Other errors of accept are passed on and keep the instance.
//
// ctx bounds waiting for an instance, and its deadline also bounds the guest. Its cancellation does not stop a guest at
// work, which would cost an instance: the caller's interest is checked for afterwards.
func (m *Module) Call(ctx context.Context, role Role, request Request, accept func(answer []byte) error) error {
	in, err := m.acquire(ctx)
	if err != nil {
		return err
	}
	err = in.call(ctx, role, request, accept)
	var fault *Fault
	if errors.As(err, &fault) {
		m.pool.discard(in)
	} else {
		m.pool.put(in)
	}
	if err == nil || fault != nil && fault.Kind == Overdue {
		if ended := ended(ctx); ended != nil {
			return ended // the request ran out of time, not the guest
		}
	}
	return err
}

// ended says why ctx has ended, or nil while it has not. The clock stops a guest to the moment, but the context's own timer may
// be late: it is waited for, so that whoever looks at the context sees the same.
func ended(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	return context.Cause(ctx)
}

// acquire takes a free instance, or makes one.
func (m *Module) acquire(ctx context.Context) (*instance, error) {
	in, err := m.pool.get(ctx, m.options.Limits.Queue)
	if err != nil || in != nil {
		return in, err
	}
	if in, err = m.instantiate(ctx); err != nil {
		m.pool.free()
		return nil, err
	}
	return in, nil
}

// Trim drops the instances which have been idle since before t and returns how many idle ones are left.
func (m *Module) Trim(t time.Time) int { return m.pool.trim(t) }

// Close lets the calls under way finish, refuses new ones with ErrClosed, and frees everything the module holds. It waits
// for as long as the guests' deadlines let them run. It must be called once.
func (m *Module) Close() {
	m.pool.close()
	m.free()
}

func (m *Module) free() {
	ctx := context.Background()
	// Closing only frees memory; there is nothing a caller could do about an error.
	if m.runtime != nil {
		_ = m.runtime.Close(ctx)
	}
	if m.cache != nil {
		_ = m.cache.Close(ctx)
	}
}

func imports(code wazero.CompiledModule, module string) bool {
	return slices.ContainsFunc(code.ImportedFunctions(), func(f api.FunctionDefinition) bool {
		name, _, _ := f.Import()
		return name == module
	})
}
