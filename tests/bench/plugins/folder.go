package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"k8s.io/apiserver/pkg/admission"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

const (
	// bystanders is how many plugins are loaded that a request does not concern.
	bystanders = 100
	// elsewhere is a manifest of a plugin that no Pod concerns.
	elsewhere = "admission: {rules: [{operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]}\n"
	// everywhere is one of a plugin that every Pod concerns.
	everywhere = "admission: {phases: [validate], rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]}\n"
)

// folder is a plugin folder of the benchmark's own, and the set that follows it.
type folder struct {
	*plugins.Set
	dir, cache string
}

func openFolder(ctx context.Context) (*folder, error) {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return nil, err
	}
	f := &folder{dir: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "compiled")}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return nil, err
	}
	f.Set, err = plugins.Open(ctx, plugins.Options{
		Dir: f.dir, CacheDir: f.cache, LoadWait: time.Minute, Logger: slog.New(slog.DiscardHandler),
		Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute},
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return f, nil
}

func (f *folder) close() {
	f.Close()
	_ = os.RemoveAll(filepath.Dir(f.dir)) // a folder for temporary files
}

// put writes a file as a careful user does, at once.
func (f *folder) put(name string, content []byte) error {
	hidden := filepath.Join(f.dir, "."+name)
	if err := os.WriteFile(hidden, content, 0o600); err != nil {
		return err
	}
	return os.Rename(hidden, filepath.Join(f.dir, name))
}

// answersAll is a plugin that lets everything pass with the warning build-a, as module of version i. All versions differ.
func answersAll(i int) ([]byte, error) {
	wasm, err := os.ReadFile("plugins/testdata/allow.wasm")
	if err != nil {
		return nil, fmt.Errorf("read a plugin of the tests: %w: run the benchmark in the repository's root", err)
	}
	version := fmt.Appendf(nil, "%07d", i)
	changed := bytes.Replace(wasm, []byte("build-a"), version, 1)
	if bytes.Equal(wasm, changed) {
		return nil, errors.New("allow.wasm does not hold the text build-a any more")
	}
	return changed, nil
}

// create takes a Pod through both phases and returns the warnings that plugins gave.
func (f *folder) create(ctx context.Context) ([]string, error) {
	w := &plugintest.Warnings{}
	err := plugintest.Admit(w.Context(ctx), f.Set, plugintest.Create(ownedPod()))
	return w.Texts, err
}

// bystand measures what plugins cost a request that does not concern them.
func bystand(ctx context.Context, p plan, table *tabwriter.Writer) error {
	f, err := openFolder(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	chain := admission.NewChainHandler(f.Admission(plugins.Selection{}))
	without := func() (float64, error) {
		return median(p, func() (float64, error) { return f.pass(ctx, chain, p.time) })
	}
	none, err := without()
	if err != nil {
		return err
	}
	wasm, err := answersAll(0)
	if err != nil {
		return err
	}
	for i := range bystanders {
		name := fmt.Sprintf("guest-%d", i)
		if err := errors.Join(f.put(name+".yaml", []byte(elsewhere)), f.put(name+".wasm", wasm)); err != nil {
			return err
		}
	}
	if err := f.Sync(ctx); err != nil {
		return err
	}
	all, err := without()
	if err != nil {
		return err
	}
	fmt.Fprintln(table, "PLUGINS THAT A CREATE DOES NOT CONCERN\tCPU A CREATE, BOTH PHASES\tWANTED")
	fmt.Fprintf(table, "%d\t%s\t%s\n", bystanders, duration(max(0, all-none)), atMost(max(0, all-none), 5*time.Microsecond))
	return nil
}

// pass has Pods created for some time and returns what one took of the processor, in nanoseconds.
func (f *folder) pass(ctx context.Context, chain admission.Interface, long time.Duration) (float64, error) {
	objects := interfaces()
	write, n := plugintest.Create(ownedPod()), 0
	began, cpu := time.Now(), processTime()
	for ; n%100 > 0 || time.Since(began) < long; n++ {
		err := chain.(admission.MutationInterface).Admit(ctx, write, objects)
		if err == nil {
			err = chain.(admission.ValidationInterface).Validate(ctx, write, objects)
		}
		if err != nil {
			return 0, err
		}
	}
	return float64(processTime()-cpu) / float64(n), nil
}

// median takes a figure in each round.
func median(p plan, figure func() (float64, error)) (float64, error) {
	var all []float64
	for range p.rounds {
		one, err := figure()
		if err != nil {
			return 0, err
		}
		all = append(all, one)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// changes measures how long it takes until requests meet what has changed in the folder.
func changes(ctx context.Context, p plan, table *tabwriter.Writer) error {
	f, err := openFolder(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.put("guest.yaml", []byte(everywhere)); err != nil {
		return err
	}
	longest := map[string]time.Duration{}
	steps := []string{"a new file", "a changed file", "a removed file"}
	for i := range p.rounds {
		for j, step := range steps {
			wasm, err := answersAll(2*i + j)
			if err != nil {
				return err
			}
			// Changes come at any moment between two looks at the folder.
			if err := pause(ctx, rand.N(200*time.Millisecond)); err != nil {
				return err
			}
			began, want := time.Now(), fmt.Sprintf("%07d", 2*i+j)
			if j < 2 {
				err = f.put("guest.wasm", wasm)
			} else {
				err, want = os.Remove(filepath.Join(f.dir, "guest.wasm")), ""
			}
			if err != nil {
				return err
			}
			if err := f.meets(ctx, want); err != nil {
				return fmt.Errorf("%s: %w", step, err)
			}
			longest[step] = max(longest[step], time.Since(began))
		}
	}
	fmt.Fprintln(table, "CHANGE IN THE FOLDER\tTOOK EFFECT AFTER AT MOST\tWANTED")
	for _, step := range steps {
		fmt.Fprintf(table, "%s\t%s\t%s\n", step, duration(float64(longest[step])), atMost(float64(longest[step]), time.Second))
	}
	return nil
}

// meets creates Pods until one is answered with a warning, or without any.
func (f *folder) meets(ctx context.Context, want string) error {
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
		warnings, err := f.create(ctx)
		if err != nil {
			return err
		}
		if want == "" && len(warnings) == 0 || len(warnings) == 1 && warnings[0] == want {
			return nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("it took no effect in a minute")
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, long time.Duration) error {
	select {
	case <-time.After(long):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// atMost says what was wanted, and whether it is so.
func atMost(ns float64, wanted time.Duration) string {
	return verdict(ns <= float64(wanted), "at most "+duration(float64(wanted)))
}

func verdict(reached bool, wanted string) string {
	if reached {
		return wanted
	}
	return wanted + ": MISSED"
}
