package pluginapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/watch"

	"gatehouse/engine/pluginapi/v1alpha1"
	"gatehouse/plugins"
)

// open runs the plugins of a folder of its own, which it returns as well.
func open(t *testing.T) (*plugins.Set, string) {
	t.Helper()
	dir := t.TempDir()
	set, err := plugins.Open(t.Context(), plugins.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set, dir
}

// put makes the folder have a plugin that allows all, with that YAML, or none of that name for "gone".
func put(t *testing.T, set *plugins.Set, dir, name, yaml string) {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("..", "..", "plugins", "testdata", "allow.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if yaml == "gone" {
		err = os.Remove(filepath.Join(dir, name+".wasm"))
	} else if err = os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(yaml), 0o600); err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".wasm"), module, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// changes are what is told since a revision, as "type name description".
func changes(t *testing.T, b *board, since uint64) []string {
	t.Helper()
	if _, revision := b.bounds(); revision < since {
		t.Fatalf("the revision has gone back from %d to %d", since, revision)
	}
	events, _, _, ok := b.since(since)
	if !ok {
		t.Fatal("it is not known any more")
	}
	var all []string
	for _, event := range events {
		plugin := event.Object.(*v1alpha1.Plugin)
		all = append(all, fmt.Sprintf("%s %s %s", event.Type, plugin.Name, plugin.Spec.Description))
	}
	return all
}

func TestARevisionStandsForOneContent(t *testing.T) {
	set, dir := open(t)
	put(t, set, dir, "a", "description: first")
	b := newBoard(set)
	before, revision := b.all()
	again, same := b.all()
	if revision != same {
		t.Errorf("the revision went from %d to %d though nothing has changed", revision, same)
	}
	if diff := cmp.Diff(before, again); diff != "" {
		t.Errorf("there is another content at the same revision:\n%s", diff)
	}
	put(t, set, dir, "a", "description: second")
	if diff := cmp.Diff([]string{"MODIFIED a second"}, changes(t, b, revision)); diff != "" {
		t.Errorf("a changed plugin:\n%s", diff)
	}
	put(t, set, dir, "b", "description: other")
	if diff := cmp.Diff([]string{"MODIFIED a second", "ADDED b other"}, changes(t, b, revision)); diff != "" {
		t.Errorf("another plugin:\n%s", diff)
	}
	put(t, set, dir, "a", "gone")
	if diff := cmp.Diff([]string{"ADDED b other", "DELETED a second"}, changes(t, b, revision)); diff != "" {
		t.Errorf("a removed plugin:\n%s", diff)
	}
	put(t, set, dir, "b", "gone")
	if diff := cmp.Diff([]string{"DELETED a second"}, changes(t, b, revision)); diff != "" {
		t.Errorf("a plugin that came and went unseen:\n%s", diff)
	}
	_, now := b.bounds()
	if got := changes(t, b, now); got != nil {
		t.Errorf("since now there is %q", got)
	}
}

func TestWhatIsForgottenIsToldToBe(t *testing.T) {
	set, dir := open(t)
	put(t, set, dir, "a", "")
	b := newBoard(set)
	_, start := b.all()
	object := b.known["a"].object
	for i := range maxTombstones + 1 {
		b.bury(posted{object: object, appeared: start})
		if _, _, _, ok := b.since(start); ok != (i < maxTombstones) {
			t.Fatalf("after %d plugins have gone, what happened since is known: %t", i+1, ok)
		}
	}
	if len(b.gone) != maxTombstones {
		t.Errorf("%d are remembered", len(b.gone))
	}
	events, _, _, ok := b.since(b.horizon)
	if !ok || len(events) == 0 || events[0].Type != watch.Deleted {
		t.Errorf("at the horizon there is %v, %t", events, ok)
	}
}

func TestNobodyWatchingCostsNothing(t *testing.T) {
	set, _ := open(t)
	b := newBoard(set)
	b.follow()
	b.follow()
	b.leave()
	if b.watching != 1 {
		t.Errorf("%d are watching, want one", b.watching)
	}
	b.leave()
	b.follow() // starts anew
	b.leave()
	if b.watching != 0 {
		t.Errorf("%d are watching, want none", b.watching)
	}
}

// everything is a plugin's YAML with every key that there is.
const everything = `
description: all of it
roles: [admit]
authentication: {tokens: true, requests: {headers: [X-Key], clientCertificates: true, query: true}, systemNames: ["system:x"]}
authorization:
  rules: [{users: [a], groups: [b], verbs: [get], apiGroups: [""], resources: [pods], namespaces: [d], names: [x1]}, {paths: [/x]}]
  matchConditions: [{expression: "true"}]
admission:
  phases: [validate]
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods], scope: Namespaced}]
  matchPolicy: Exact
  namespaceSelector: {matchLabels: {a: b}}
  objectSelector: {matchExpressions: [{key: a, operator: Exists}]}
  matchConditions: [{name: c, expression: "true"}]
settings: {password: hunter2, other: {key: hunter3}}
capabilities: {authz: {canI: true}, http: {urls: ["https://example.com/"]}}
limits: {memory: 8Mi}
failurePolicy: Ignore
sha256: %s
`

func TestTheConfigurationIsShownWhole(t *testing.T) {
	set, dir := open(t)
	put(t, set, dir, "a", fmt.Sprintf(everything, "d387ff76a792c69de8edf436ab1bed27686c439a92f56eef49690d8c896660af"))
	status := set.List()[0] // it is Broken for its hash, so that sections of roles that it does not play are shown as well
	if status.State != plugins.Broken || len(status.Configuration) == 0 {
		t.Fatalf("got %+v", status)
	}
	shown := objectOf(&status)
	text, err := json.Marshal(shown.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(status.Configuration, &want); err != nil {
		t.Fatal(err)
	}
	want["settingNames"] = []any{"other", "password"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the configuration and what is shown of it:\n%s", diff)
	}
	for _, key := range []string{"authentication", "authorization", "admission", "capabilities", "sha256", "failurePolicy"} {
		if got[key] == nil {
			t.Errorf("there is no %s", key)
		}
	}
	whole, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "hunter3"} {
		if strings.Contains(string(whole), secret) {
			t.Errorf("a setting's value is shown: %s", whole)
		}
	}
}

func TestWhatAPluginWantsIsShown(t *testing.T) {
	status := plugins.Status{Name: "a", Wants: []string{"authz.canI", "cache"}}
	if diff := cmp.Diff(status.Wants, objectOf(&status).Status.Wants); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
