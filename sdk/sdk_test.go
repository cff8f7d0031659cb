// Package sdk_test runs guests written with the SDKs through the plugin host.
package sdk_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kubernetes/pkg/apis/core"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

func TestTheGoSDKsOwnTestsPass(t *testing.T) {
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		command := exec.Command("go", args...)
		command.Dir = "go"
		command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		if text, err := command.CombinedOutput(); err != nil {
			t.Errorf("go %s in sdk/go: %v\n%s", strings.Join(args, " "), err, text)
		}
	}
}

// guest is a compiled guest, and where its machine code is kept.
type guest struct {
	wasm  []byte
	cache string
}

func build(t testing.TB) guest {
	t.Helper()
	return guest{wasm: plugintest.BuildGo(t, "testdata/guest"), cache: t.TempDir()}
}

// open starts a host with a plugin guest-x for each x of do, which does what do says in one phase.
func (g guest) open(t testing.TB, log *plugintest.Log, do ...string) *plugins.Set {
	t.Helper()
	dir := t.TempDir()
	for _, what := range do {
		phase := "validate"
		if what == "everything" {
			phase = "mutate"
		}
		manifest := fmt.Sprintf("settings: {do: %q}\nadmission: {phases: [%s]}\n", what, phase)
		for name, content := range map[string][]byte{".wasm": g.wasm, ".yaml": []byte(manifest)} {
			if err := os.WriteFile(filepath.Join(dir, "guest-"+what+name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	logger := slog.New(slog.DiscardHandler)
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, nil))
	}
	set, err := plugins.Open(t.Context(), plugins.Options{
		Dir: dir, CacheDir: g.cache, LoadWait: time.Minute, Logger: logger,
		Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute, Instances: 1}, // the machine may be busy
		Operations: map[string]sandbox.Operation{"echo": func(_ context.Context, payload []byte) ([]byte, error) {
			return append([]byte("echo "), payload...), nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	if err := set.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestGuestsInGo(t *testing.T) {
	g := build(t) // once: under -race the machine code takes many seconds to make
	t.Run("an instance stays between calls", func(t *testing.T) { testRemembering(t, g) })
	for _, test := range []struct {
		name, do, want string
		warnings       []string
		log            string
	}{
		{name: "a request tells all about itself", do: "describe", want: "allowed", warnings: []string{
			"CREATE", "", "v1", "Pod", "pods", "", "web", "default", "jane", "false",
			"nginx", "false", `{"app":"web"}`, "true", "true", "3000", "true", "true"}},
		{name: "warnings, annotations and patches arrive", do: "everything", want: "allowed", warnings: []string{"a \"warning\"\n", "ünother"}},
		{name: "a denial arrives", do: "deny", want: `422 Invalid: admission plugin "guest-deny" denied the request: because`},
		{name: "a panic is told", do: "panic", want: "the guest trapped: unreachable: panic: something is wrong"},
		{name: "no response is a failure", do: "nothing", want: "it says: the plugin's handler returned no response"},
		{name: "a malformed pointer is a panic", do: "malformed", want: "a JSON pointer begins with /"},
		{name: "what is logged and printed is in the log", do: "log", want: "allowed", log: `msg="logged 1" plugin=guest-log`},
		{name: "an operation of the host can be called", do: "call", want: "allowed", warnings: []string{"echo hello <nil>"}},
		{name: "settings can be refused", do: "absurd", want: "refuses its settings: do: is nothing this guest can do"},
		{name: "look-ups decide", do: "field", want: `403 Forbidden: admission plugin "guest-field" denied the request: no owner`},
		{name: "parsing the review decides alike", do: "json", want: `403 Forbidden: admission plugin "guest-json" denied the request: no owner`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log plugintest.Log
			set := g.open(t, &log, test.do)
			w, pod := &plugintest.Warnings{}, describedPod()
			got := plugintest.Fate(plugintest.Admit(w.Context(t.Context()), set, plugintest.Create(pod)))
			if !strings.Contains(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if diff := cmp.Diff(test.warnings, w.Texts); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if test.do == "everything" && (pod.Labels["one"] != "1" || pod.Labels["app"] != "web" || pod.Annotations["a/b~c"] != "x") {
				t.Errorf("the patches made labels %v, annotations %v", pod.Labels, pod.Annotations)
			}
			if !strings.Contains(log.String(), test.log) {
				t.Errorf("the log lacks %s:\n%s", test.log, log.String())
			}
		})
	}
}

// testRemembering shows that an instance stays between calls.
func testRemembering(t *testing.T, g guest) {
	set := g.open(t, nil, "remember")
	w := &plugintest.Warnings{}
	for range 3 {
		if err := plugintest.Admit(w.Context(t.Context()), set, plugintest.Create(describedPod())); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"call 1", "call 2", "call 3"}, w.Texts); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func describedPod() *core.Pod {
	pod := plugintest.Pod(map[string]string{"app": "web"})
	pod.Annotations = map[string]string{"long": strings.Repeat("x", 3000)} // longer than the SDK's own buffer
	return pod
}

// BenchmarkAdmit is the time one plugin written in Go adds to a write, of a Pod of some 4 KB.
func BenchmarkAdmit(b *testing.B) {
	g := build(b)
	for _, do := range []string{"none", "field", "json"} {
		b.Run(do, func(b *testing.B) {
			var guests []string
			if do != "none" {
				guests = []string{do}
			}
			set := g.open(b, nil, guests...)
			pod := describedPod()
			pod.Labels["owner"] = "me"
			for b.Loop() {
				if err := plugintest.Admit(b.Context(), set, plugintest.Create(pod)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
