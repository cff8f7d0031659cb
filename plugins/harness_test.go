package plugins_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/admission"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

// host is a set of plugins over a folder of its own.
type host struct {
	*plugins.Set
	t   *testing.T
	dir string
	log *plugintest.Log
	// close closes the set before the test ends; it may be called again.
	close func()
}

// files are what a plugin folder holds, by name.
type files map[string]string

// calm are limits that only guests which never end can exceed.
func calm() sandbox.Limits {
	return sandbox.Limits{Memory: 4 << 20, Deadline: time.Minute, Start: time.Minute, Output: 1 << 20, Instances: 2}
}

// open starts a host over a new folder with those files and waits until they are loaded.
func open(t *testing.T, content files, change ...func(*plugins.Options)) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), log: &plugintest.Log{}}
	h.write(content)
	options := plugins.Options{
		Dir:      h.dir,
		Logger:   slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits:   calm(),
		LoadWait: time.Minute,
	}
	for _, c := range change {
		c(&options)
	}
	var err error
	if h.Set, err = plugins.Open(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	h.close = sync.OnceFunc(h.Close)
	t.Cleanup(h.close)
	if err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// write puts files into the folder as a careful user does, at once; an empty content removes the file.
func (h *host) write(content files) {
	h.t.Helper()
	for name, text := range content {
		path := filepath.Join(h.dir, name)
		if text == "" {
			if err := os.Remove(path); err != nil {
				h.t.Fatal(err)
			}
			continue
		}
		temporary := filepath.Join(h.dir, "."+name)
		if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
		if err := os.Rename(temporary, path); err != nil {
			h.t.Fatal(err)
		}
	}
}

// sync waits until what is in the folder has been loaded.
func (h *host) sync() {
	h.t.Helper()
	if err := h.Sync(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// only returns the status of the one plugin there is.
func (h *host) only() plugins.Status {
	h.t.Helper()
	list := h.List()
	if len(list) != 1 {
		h.t.Fatalf("there are %d plugins, want one", len(list))
	}
	return list[0]
}

// script is the files of a plugin that answers every review with response, a JSON object that may contain $uid.
func script(t testing.TB, name, response, extra string) files {
	return scriptWhole(t, name, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":`+response+`}`, extra)
}

// scriptWhole is script for a whole answer.
func scriptWhole(t testing.TB, name, answer, extra string) files {
	answer = strings.ReplaceAll(answer, "$uid", strings.Repeat("0", 36))
	return files{
		name + ".wasm": string(guesttest.Read(t, "script")),
		name + ".yaml": "settings: " + answer + "\n" + extra,
	}
}

// merge is all files together.
func merge(all ...files) files {
	merged := files{}
	for _, some := range all {
		for name, text := range some {
			merged[name] = text
		}
	}
	return merged
}

// admit takes a write through both phases.
func (h *host) admit(ctx context.Context, a admission.Attributes) error {
	return plugintest.Admit(ctx, h.Set, a)
}

// annotated keeps the audit annotations that are added to a request.
type annotated struct {
	admission.Attributes
	annotations map[string]string
}

func (a *annotated) AddAnnotation(key, value string) error {
	if err := a.Attributes.AddAnnotation(key, value); err != nil {
		return err
	}
	if a.annotations == nil {
		a.annotations = map[string]string{}
	}
	a.annotations[key] = value
	return nil
}

// writeRaw writes a file that may be empty.
func (h *host) writeRaw(name string, content []byte) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), content, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// contextOver is a context whose deadline is as good as reached.
func contextOver() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 10*time.Millisecond)
}
