// Package examples_test compiles each example and runs it through the plugin host, as its README says a user would.
package examples_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/plugins"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
	"gatehouse/tests/harness"
)

// host opens a plugin folder that holds one example, compiled, and its manifest. It skips the test where a compiler is missing.
func host(t testing.TB, example string) *plugins.Set {
	t.Helper()
	wasm, manifest, err := harness.Example(t.Context(), example)
	harness.SkipMissing(t, err)
	dir := t.TempDir()
	for _, file := range []string{wasm, manifest} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, example+filepath.Ext(file)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := plugins.Open(t.Context(), plugins.Options{
		Dir: dir, LoadWait: time.Minute, Logger: slog.New(slog.DiscardHandler),
		Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute}, // the machine may be busy
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	if err := set.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := set.List(); len(list) != 1 || list[0].State != plugins.Serving {
		t.Fatalf("the example does not serve: %+v", list)
	}
	return set
}

func TestOwnerLabel(t *testing.T) {
	set := host(t, "owner-label")
	const denied = `403 Forbidden: admission plugin "owner-label" denied the request: a Pod must say who owns it: ` +
		`add the label "owner", as in kubectl run --labels=owner=team-a`
	marked := map[string]string{"owner": "team-a", "gatehouse.dev/admitted-by": "owner-label"}
	for _, test := range []struct {
		name   string
		labels map[string]string
		want   string
		after  map[string]string
	}{
		{"a Pod without labels is denied", nil, denied, nil},
		{"a Pod with other labels is denied", map[string]string{"app": "web"}, denied, map[string]string{"app": "web"}},
		{"an empty owner is no owner", map[string]string{"owner": ""}, denied, map[string]string{"owner": ""}},
		{"a Pod with an owner is marked", map[string]string{"owner": "team-a"}, "allowed", marked},
		{"a marked Pod stays as it is", marked, "allowed", marked},
		{"a false mark is set right", map[string]string{"owner": "team-a", "gatehouse.dev/admitted-by": "me"}, "allowed", marked},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := plugintest.Pod(test.labels)
			if got := plugintest.Fate(plugintest.Admit(t.Context(), set, plugintest.Create(pod))); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if diff := cmp.Diff(test.after, pod.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
	if err := plugintest.Admit(t.Context(), set, plugintest.Delete(plugintest.Pod(nil))); err != nil {
		t.Errorf("a Pod without an owner cannot be deleted: %v", err)
	}
	taken := plugintest.Update(plugintest.Pod(nil), plugintest.Pod(map[string]string{"owner": "team-a"}))
	if got := plugintest.Fate(plugintest.Admit(t.Context(), set, taken)); !strings.HasPrefix(got, "403 ") {
		t.Errorf("a Pod can be robbed of its owner: %s", got)
	}
}
