package cases

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/yaml"

	"gatehouse/plugins"
	"gatehouse/plugins/sandbox"
)

// deadline is how long a call may take where the plugin's YAML does not say: cases are about what a plugin does, and the machine
// may be busy.
const deadline = time.Minute

// Plugin is what cases are run against.
type Plugin struct {
	// Name is the plugin's, which messages to clients begin with.
	Name string
	// Module is the WebAssembly. Manifest is the YAML that goes with it, and Signature the module's; nil for none.
	Module, Manifest, Signature []byte
}

// ReadPlugin reads NAME.wasm and what lies beside it.
func ReadPlugin(path string) (Plugin, error) {
	name, ok := strings.CutSuffix(filepath.Base(path), ".wasm")
	if !ok {
		return Plugin{}, fmt.Errorf("%s is no plugin: its name does not end in .wasm", path)
	}
	p := Plugin{Name: name}
	var err error
	if p.Module, err = read(path); err != nil {
		return Plugin{}, fmt.Errorf("read the plugin: %w", err)
	}
	for file, content := range map[string]*[]byte{name + ".yaml": &p.Manifest, name + ".wasm.minisig": &p.Signature} {
		if *content, err = read(filepath.Join(filepath.Dir(path), file)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Plugin{}, fmt.Errorf("read the plugin: %w", err)
		}
	}
	return p, nil
}

// Result is how one case ended.
type Result struct {
	Name string
	// Problems are what came out otherwise than wanted, each a line or more; none when the case passed.
	Problems []string
	// Log is what host and guest logged meanwhile.
	Log string
	// Took is the time from the question to the answer.
	Took time.Duration
}

// Run runs all cases, in their order, and returns a result for each. The error is of the machine, not of a case.
func (p Plugin) Run(ctx context.Context, all []Case) ([]Result, error) {
	dir, err := os.MkdirTemp("", "gatehouse-cases-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	hosts := map[string]*host{} // by settings: making one takes a while
	defer func() {
		for _, h := range hosts {
			h.Close()
		}
	}()
	results := make([]Result, len(all))
	for i := range all {
		key := string(all[i].Settings)
		if hosts[key] == nil {
			if hosts[key], err = p.open(ctx, filepath.Join(dir, fmt.Sprint(len(hosts))), filepath.Join(dir, "compiled"), all[i].Settings); err != nil {
				return nil, err
			}
		}
		results[i] = hosts[key].run(ctx, &all[i])
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return results, nil
}

// host is a plugin with some settings.
type host struct {
	*plugins.Set
	counted    *prometheus.Registry
	log        *log
	namespaces *namespaces
}

// open starts the plugin from a folder of its own. That it does not come up is told by its state.
func (p Plugin) open(ctx context.Context, dir, compiled string, settings []byte) (*host, error) {
	manifest, err := withSettings(p.Manifest, settings)
	if err != nil {
		return nil, fmt.Errorf("%s.yaml: %w", p.Name, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for file, content := range map[string][]byte{".wasm": p.Module, ".yaml": manifest, ".wasm.minisig": p.Signature} {
		if content == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, p.Name+file), content, 0o600); err != nil {
			return nil, err
		}
	}
	h := &host{counted: prometheus.NewRegistry(), log: &log{}, namespaces: &namespaces{}}
	h.Set, err = plugins.Open(ctx, plugins.Options{
		Dir: dir, CacheDir: compiled, LoadWait: deadline,
		Logger:     slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTime})),
		Limits:     sandbox.Limits{Deadline: deadline, Start: deadline},
		Namespaces: h.namespaces, Authorizer: nobody{},
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(h.counted.Register(h.Metrics()), h.Wait(ctx)); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// withSettings is the manifest with other settings, if there are any.
func withSettings(manifest, settings []byte) ([]byte, error) {
	if settings == nil {
		return manifest, nil
	}
	content := map[string]any{}
	if err := yaml.UnmarshalStrict(manifest, &content); err != nil {
		return nil, err
	}
	var given any
	if err := yaml.Unmarshal(settings, &given); err != nil {
		return nil, err
	}
	content["settings"] = given
	return yaml.Marshal(content)
}

// run asks about one case and compares.
func (h *host) run(ctx context.Context, c *Case) Result {
	result := Result{Name: c.Name}
	if state := h.List()[0]; state.State != plugins.Serving {
		result.Problems = c.Want.compare(outcome{decision: Refused, message: fmt.Sprint(state.Fault)})
		result.Log = h.log.take()
		return result
	}
	h.log.take()
	if c.asked == nil {
		result.Problems = []string{"the plugin came up, want it to refuse its settings"}
		return result
	}
	h.namespaces.labels = c.NamespaceLabels
	before, err := h.tally()
	began := time.Now()
	o := c.asked.ask(ctx, h.Set)
	result.Took = time.Since(began)
	after, err2 := h.tally()
	if err := errors.Join(err, err2); err != nil {
		result.Problems = []string{err.Error()}
		return result
	}
	for name, count := range before {
		after[name] -= count
	}
	switch {
	case after["failed"]+after["ignored"] > 0:
		o.decision = Failed
		if o.message == "" && len(o.warnings) > 0 {
			o.message = o.warnings[len(o.warnings)-1]
		}
	case after["no_opinion"] > 0 && after["allowed"]+after["denied"] == 0:
		if o.decision == Denied { // upstream takes a token of which nobody has an opinion for a wrong one
			o.message = ""
		}
		o.decision = NoOpinion
	case after["allowed"]+after["denied"]+after["no_opinion"] == 0 && o.decision != Failed && o.decision != Denied:
		o.decision = NotAsked
	}
	result.Problems = c.Want.compare(o)
	result.Log = h.log.take()
	return result
}

// tally counts the plugin's calls by their results.
func (h *host) tally() (map[string]float64, error) {
	families, err := h.counted.Gather()
	if err != nil {
		return nil, fmt.Errorf("count the plugin's calls: %w", err)
	}
	tally := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "gatehouse_plugin_calls_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "result" {
					tally[label.GetValue()] += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return tally, nil
}

func withoutTime(_ []string, attr slog.Attr) slog.Attr {
	if attr.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return attr
}

// log keeps what is logged until it is taken. The zero value is ready.
type log struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	l.text.Reset()
	return text
}

// Status is how the plugin is once a server has loaded it, with its fault if it would not serve.
func (p Plugin) Status(ctx context.Context) (plugins.Status, error) {
	dir, err := os.MkdirTemp("", "gatehouse-plugin-")
	if err != nil {
		return plugins.Status{}, fmt.Errorf("make a folder for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	h, err := p.open(ctx, filepath.Join(dir, "plugins"), "", nil)
	if err != nil {
		return plugins.Status{}, err
	}
	defer h.Close()
	return h.List()[0], nil
}
