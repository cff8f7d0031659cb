package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
	"gatehouse/tests/harness"
)

// markLabel and markValue are what is put on a Pod that has an owner.
const (
	markLabel = "gatehouse.dev/admitted-by"
	markValue = "owner-label"
)

// contestant is one way to have the job done that plugins and webhook share: a Pod must have the label owner, and gets another.
type contestant struct {
	name string
	// wanted is what a create may take of the processor.
	wanted time.Duration
	admit  func(context.Context, admission.Attributes) error
	// elsewhere is the processor's time that another process has used for it. It is nil where there is none.
	elsewhere func() (time.Duration, error)
	// close ends what it has running.
	close func()
	// rounds is what was measured of the job at hand.
	rounds []round
}

// job is a kind of Pod that is created again and again.
type job struct {
	name string
	// pod is copied for each creation.
	pod *core.Pod
}

func jobs() []job {
	return []job{{"CHECK AND PATCH A POD", ownedPod()}, {"CHECK A POD ONLY", markedPod()}}
}

// manyCallers create Pods at once, as an API server's clients do.
const manyCallers = 16

// round is what one create took: by the clock in the median, and of the processor on the average, here and elsewhere.
type round struct{ delay, cpu, elsewhere float64 }

// webhook compares the same job done by a plugin in each language and by a webhook, which upstream's own dispatcher calls over
// HTTPS and connections kept alive. The webhook does it in two ways, so that nobody need argue about how such are written. All take
// turns, so that they share what the machine does besides.
func webhook(ctx context.Context, p plan, table *tabwriter.Writer) error {
	runtime.UnlockOSThread() // the dispatcher's goroutines would pay for it
	defer runtime.LockOSThread()
	server, err := startHook(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	all, err := contestants(ctx, server, table)
	for _, c := range all {
		defer c.close()
	}
	if err != nil {
		return err
	}
	for _, c := range all[1:] {
		if err := c.check(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for _, j := range jobs() {
		for _, callers := range []int{1, manyCallers} {
			if err := contest(ctx, p, j, callers, all); err != nil {
				return err
			}
			compareDelays(j, callers, all, table)
		}
	}
	usage, err := server.usage()
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "(connections to the webhook: %d; what its own process uses comes on top of what its caller does)\n",
		usage.Connections)
	return nil
}

// contest has all do a job in turns, for a number of callers at once.
func contest(ctx context.Context, p plan, j job, callers int, all []*contestant) error {
	for _, c := range all {
		c.rounds = nil
	}
	for range p.rounds {
		for _, c := range all {
			if err := c.measure(ctx, j, callers, p.time); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// contestants are nothing at all, the webhook in its two ways, and the plugins, in this order. Those made before an error are returned with it.
func contestants(ctx context.Context, server *hook, table *tabwriter.Writer) ([]*contestant, error) {
	all := []*contestant{
		{name: "nothing", admit: func(context.Context, admission.Attributes) error { return nil }, close: func() {}},
	}
	for _, way := range []struct{ name, path string }{
		{"webhook that decodes metadata only", leanPath},
		{"webhook that decodes the Pod", usualPath},
	} {
		caller, err := server.caller(way.path)
		if err != nil {
			return nil, err
		}
		all = append(all, &contestant{name: way.name, admit: admitter(caller), close: func() {}, elsewhere: func() (time.Duration, error) {
			usage, err := server.usage()
			return usage.CPU, err
		}})
	}
	for _, language := range []struct {
		name, dir string
		wanted    time.Duration
	}{
		{"C", "tests/bench/plugins/testdata/mark-c", 25 * time.Microsecond},
		{"Rust", "tests/bench/plugins/testdata/mark-rust", 25 * time.Microsecond},
		{"AssemblyScript", "tests/bench/plugins/testdata/mark-assemblyscript", 60 * time.Microsecond},
		{"Go", "examples/owner-label", 60 * time.Microsecond},
	} {
		c, err := newPlugin(ctx, language.dir)
		var missing *harness.MissingTool
		if errors.As(err, &missing) {
			fmt.Fprintf(table, "(left out: %v)\n", missing)
			continue
		}
		if err != nil {
			return all, fmt.Errorf("plugin in %s: %w", language.name, err)
		}
		c.name, c.wanted = "plugin in "+language.name, language.wanted
		all = append(all, c)
	}
	return all, nil
}

// newPlugin compiles the plugin in a directory of this tree and has it served from a folder of its own.
func newPlugin(ctx context.Context, source string) (*contestant, error) {
	file, err := harness.Plugin(ctx, source)
	if err != nil {
		return nil, err
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return nil, err
	}
	set, err := serve(ctx, dir, wasm)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &contestant{
		admit: admitter(admission.NewChainHandler(set.Admission(plugins.Selection{}))),
		close: func() {
			set.Close()
			_ = os.RemoveAll(dir) // a folder for temporary files
		},
	}, nil
}

// serve opens a folder with a plugin that is asked about what the webhook is asked about.
func serve(ctx context.Context, dir string, wasm []byte) (*plugins.Set, error) {
	manifest := "admission:\n  phases: [mutate]\n" +
		"  rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]\n"
	for name, content := range map[string][]byte{"mark.wasm": wasm, "mark.yaml": []byte(manifest)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	set, err := plugins.Open(ctx, plugins.Options{
		Dir: dir, LoadWait: time.Minute, Logger: slog.New(slog.DiscardHandler),
		Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute}, // the machine may be busy
	})
	if err != nil {
		return nil, err
	}
	if err := set.Wait(ctx); err != nil {
		set.Close()
		return nil, err
	}
	return set, nil
}

// admitter asks a member of admission's mutating phase.
func admitter(member admission.MutationInterface) func(context.Context, admission.Attributes) error {
	objects := interfaces()
	return func(ctx context.Context, a admission.Attributes) error { return member.Admit(ctx, a, objects) }
}

// interfaces are what admission needs to know of built-in kinds.
func interfaces() admission.ObjectInterfaces {
	return admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
}

// ownedPod has some 4 KB, as Pods with their managed fields do. Like what the server hands to admission it has all defaults.
func ownedPod() *core.Pod {
	sent := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web", Namespace: "default", Labels: map[string]string{"app": "web", "owner": "me"},
			Annotations: map[string]string{"long": strings.Repeat("x", 3000)},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx"}}},
	}
	legacyscheme.Scheme.Default(sent)
	pod := &core.Pod{}
	if err := legacyscheme.Scheme.Convert(sent, pod, nil); err != nil {
		panic(err) // Pods have an internal version
	}
	return pod
}

// markedPod needs no patch.
func markedPod() *core.Pod {
	pod := ownedPod()
	pod.Labels[markLabel] = markValue
	return pod
}

// check makes sure that the job is done, and warms up.
func (c *contestant) check(ctx context.Context) error {
	for range 50 {
		pod := ownedPod()
		if err := c.admit(ctx, plugintest.Create(pod)); err != nil {
			return fmt.Errorf("a Pod that has an owner is denied: %w", err)
		}
		if got := pod.Labels[markLabel]; got != markValue || pod.Labels["owner"] != "me" {
			return fmt.Errorf("a Pod is marked %q, want %q", got, markValue)
		}
	}
	pod := ownedPod()
	delete(pod.Labels, "owner")
	if err := c.admit(ctx, plugintest.Create(pod)); err == nil || !strings.Contains(err.Error(), "label") {
		return fmt.Errorf("a Pod without an owner is not denied for it, but: %v", err)
	}
	return nil
}

// measure has Pods of a job created for some time, by a number of callers at once.
func (c *contestant) measure(ctx context.Context, j job, callers int, long time.Duration) error {
	runtime.GC() // each cleans up after itself only
	before, err := c.usedElsewhere()
	if err != nil {
		return err
	}
	began, cpu := time.Now(), processTime()
	delays, errs := make([][]time.Duration, callers), make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { delays[i], errs[i] = c.create(ctx, j, began.Add(long)) })
	}
	all.Wait()
	cpu = processTime() - cpu
	if err := errors.Join(errs...); err != nil {
		return err
	}
	after, err := c.usedElsewhere()
	if err != nil {
		return err
	}
	every := slices.Sorted(slices.Values(slices.Concat(delays...)))
	n := float64(len(every))
	c.rounds = append(c.rounds, round{float64(every[len(every)/2]), float64(cpu) / n, float64(after-before) / n})
	return nil
}

// create creates Pods of a job, one after the other, and returns what each took by the clock.
func (c *contestant) create(ctx context.Context, j job, until time.Time) (delays []time.Duration, err error) {
	for asked := time.Now(); asked.Before(until); {
		a := plugintest.Create(j.pod.DeepCopy())
		asked = time.Now()
		if err := c.admit(ctx, a); err != nil {
			return nil, err
		}
		delays = append(delays, time.Since(asked))
	}
	return delays, nil
}

func (c *contestant) usedElsewhere() (time.Duration, error) {
	if c.elsewhere == nil {
		return 0, nil
	}
	return c.elsewhere()
}

// compareDelays prints what creates took in the median of the rounds. What making the Pods takes of the processor, which is what
// doing nothing costs, is taken off.
func compareDelays(j job, callers int, all []*contestant, table *tabwriter.Writer) {
	nothing, lean, usual := all[0], all[1], all[2]
	making := nothing.median(func(_ int, r round) float64 { return r.cpu })
	fmt.Fprintf(table, "%s, CALLERS AT ONCE: %d\tDELAY A CREATE\tCPU OF THE CALLER\tWANTED\tCPU OF THE WEBHOOK\t", j.name, callers)
	fmt.Fprintln(table, "FIRST WEBHOOK/PLUGIN\tLEAST ROUND\tMOST\tWANTED\tSECOND WEBHOOK/PLUGIN\tLEAST ROUND\tMOST\tWANTED")
	for _, c := range all[1:] {
		cpu := max(0, c.median(func(_ int, r round) float64 { return r.cpu })-making)
		fmt.Fprintf(table, "%s\t%s\t%s\t", c.name, duration(c.median(func(_ int, r round) float64 { return r.delay })), duration(cpu))
		if c == lean || c == usual {
			fmt.Fprintf(table, "\t%s\t\t\t\t\t\t\t\t\n", duration(c.median(func(_ int, r round) float64 { return r.elsewhere })))
			continue
		}
		fmt.Fprintf(table, "%s\t\t%s\t%s\n", atMost(cpu, c.wanted), c.against(lean), c.against(usual))
	}
	fmt.Fprintln(table)
}

// against is how many times a webhook's delay is the plugin's, in the median, the least and the greatest of the rounds.
func (c *contestant) against(hook *contestant) string {
	times := c.sorted(func(i int, r round) float64 { return hook.rounds[i].delay / r.delay })
	middle := times[len(times)/2]
	return fmt.Sprintf("%.1f\t%.1f\t%.1f\t%s", middle, times[0], times[len(times)-1], verdict(middle >= 30, "at least 30"))
}

// sorted are the rounds' values of a figure.
func (c *contestant) sorted(figure func(int, round) float64) []float64 {
	var values []float64
	for i, r := range c.rounds {
		values = append(values, figure(i, r))
	}
	slices.Sort(values)
	return values
}

func (c *contestant) median(figure func(int, round) float64) float64 {
	values := c.sorted(figure)
	return values[len(values)/2]
}
