package plugins_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

func TestAPluginThatCausesWhatItIsAskedAboutEndsWithItsDeadline(t *testing.T) {
	var h *host
	var mu sync.Mutex // guards fates
	var fates []string
	again := func(ctx context.Context, _ []byte) ([]byte, error) {
		fate := plugintest.Fate(h.admit(ctx, plugintest.Create(plugintest.Pod(nil))))
		mu.Lock()
		defer mu.Unlock()
		fates = append(fates, fate)
		return nil, errors.New(fate)
	}
	h = open(t, files{
		"circle.wasm": string(guesttest.Read(t, "operation")), "circle.yaml": "admission: {phases: [validate]}\nlimits: {deadline: 200ms, instances: 3}",
		"other.wasm": string(guesttest.Allow(t, 'b')), "other.yaml": "admission: {objectSelector: {matchLabels: {other: me}}, phases: [mutate]}",
	}, func(o *plugins.Options) { o.Operations = map[string]sandbox.Operation{"echo": again} })
	for range 2 { // the second time with instances that are as good as new
		fates = nil
		got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(map[string]string{"other": "me"}))))
		if !strings.Contains(got, `failed calling admission plugin "circle" (revision `) {
			t.Errorf("got %s", got)
		}
		if len(fates) != 3 {
			t.Fatalf("%d calls came of it, want one of each instance: %q", len(fates), fates)
		}
		if first := fates[0]; !strings.Contains(first, "timeout") && !strings.Contains(first, "busy") && !strings.Contains(first, "deadline") {
			t.Errorf("the innermost ended as %s", first)
		}
	}
	if got := h.calls()["other allowed admit"]; got != 2 {
		t.Errorf("another plugin was asked %v times, want twice", got)
	}
}

// FuzzConfiguration reads whatever it is given as a plugin's YAML: it must be refused in one line, or be complete in a form that means
// the same.
func FuzzConfiguration(f *testing.F) {
	for _, seed := range []string{
		"", "null", "{}", "[]", "---\n", "a: &a [*a]", "settings: {a: &a [1], b: *a}", "failurePolicy: Ignore\nroles: [admit]", "sha256: x", "limits: {memory: 1e99}",
		"admission: {rules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'], scope: Cluster}], phases: [validate], matchPolicy: Exact}",
		"admission: {namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}, objectSelector: {matchLabels: {a: b}}}",
		"admission: {matchConditions: [{name: a, expression: \"object.metadata.name.matches('a*') && authorizer.path('/').check('get').allowed()\"}]}",
		"admission: {matchConditions: [{name: a, expression: '[1,2,3].all(x, [1,2,3].all(y, x == y))'}]}",
		"authorization: {rules: [{users: ['a*'], paths: [/]}], matchConditions: [{expression: 'request.user == \"a\"'}]}",
		"authentication: {tokens: false, requests: {headers: [x-a], query: true}, systemNames: ['system:a*']}",
		"capabilities: {cache: {}, authz: {canI: true}, http: {urls: ['https://example.com/']}, k8s: {objects: [{apiVersion: v1, kind: Pod}]}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		complete, err := plugins.Configuration(nil, data, calm())
		if err != nil {
			if text := err.Error(); text == "" || strings.Contains(text, "\n") {
				t.Errorf("the error is not one line: %q", text)
			}
			return
		}
		again, err := plugins.Configuration(nil, complete, calm())
		if err != nil {
			t.Fatalf("what is complete is refused: %v\n%s", err, complete)
		}
		if !bytes.Equal(complete, again) {
			t.Errorf("what is complete means something else:\n%s\n%s", complete, again)
		}
	})
}

// exporting is a module that exports a memory, and a function of that name which does nothing.
func exporting(name string) []byte {
	exports := append([]byte{2, byte(len(name))}, name+"\x00\x00\x06memory\x02\x00"...)
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x01\x07"),
		[]byte{byte(len(exports))}, exports, []byte("\x0a\x04\x01\x02\x00\x0b"))
}

// deadlineOf is what a fuzzed guest gets.
const deadlineOf = 5 * time.Millisecond

// FuzzFolder puts whatever it is given into the folder, however its exports say that it wants to be spoken to: it must serve, or be broken
// with a reason, and a write must be allowed or be told whose fault it is not.
func FuzzFolder(f *testing.F) {
	for _, name := range []string{"allow", "script", "says", "trap", "garbage", "two-roles", "start-trap", "unknown-module"} {
		wasm := guesttest.Read(f, name)
		f.Add(wasm)
		f.Add(wasm[:len(wasm)*2/3])
	}
	for _, name := range []string{"__guest_call", "_start", "opa_json_parse"} { // by which others' policies are told
		f.Add(exporting(name))
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		h := open(t, files{"guest.yaml": "settings: {a: b}"}, func(o *plugins.Options) {
			o.Limits = sandbox.Limits{Memory: 1 << 20, Deadline: deadlineOf, Start: deadlineOf, Output: 1 << 16, Instances: 1}
		})
		h.writeRaw("guest.wasm", wasm)
		h.sync()
		status := h.only()
		if (status.State == plugins.Broken) != (status.Fault != nil) {
			t.Errorf("it is %s because of %v", status.State, status.Fault)
		}
		got := plugintest.Fate(h.admit(t.Context(), plugintest.Create(plugintest.Pod(nil))))
		if got != "allowed" && !strings.Contains(got, `admission plugin "guest"`) {
			t.Errorf("got %s", got)
		}
	})
}
