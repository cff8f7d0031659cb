package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"gatehouse/plugins/field"
	"gatehouse/plugins/sandbox"
)

// vector is one case of sdk/vectors, whose README says what each member means.
type vector struct {
	Name     string          `json:"name"`
	Settings json.RawMessage `json:"settings"`
	Refused  string          `json:"refused"`
	Payload  any             `json:"payload"`
	Want     map[string]any  `json:"want"`
	Failure  string          `json:"failure"`
	Fault    bool            `json:"fault"`
	Log      []logged        `json:"log"`
}

type logged struct {
	Level string `json:"level"`
	Text  string `json:"text"`
}

// RunVectors runs every case of sdk/vectors against a vector guest, each as a subtest.
func RunVectors(t *testing.T, wasm []byte) {
	cache := t.TempDir()
	guests := map[string]*vectorGuest{} // by settings: making one takes a Go guest a while
	for _, file := range []struct {
		name string
		role sandbox.Role
	}{
		{"settings", sandbox.Admit}, {"authenticate", sandbox.Authenticate},
		{"authorize", sandbox.Authorize}, {"admit", sandbox.Admit},
	} {
		for _, v := range readVectors(t, file.name) {
			t.Run(file.name+"/"+v.Name, func(t *testing.T) {
				guest := guests[string(v.Settings)]
				if guest == nil {
					guest = loadVectorGuest(wasm, cache, v.Settings)
					guests[string(v.Settings)] = guest
				}
				guest.run(t, file.role, v)
			})
		}
	}
	for _, guest := range guests {
		if guest.module != nil {
			guest.module.Close()
		}
	}
}

// readVectors reads a file of cases, with all repetitions written out.
func readVectors(t *testing.T, name string) []vector {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	data, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "sdk", "vectors", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		t.Fatalf("%s.yaml: %v", name, err)
	}
	tree, err := field.Parse(asJSON)
	if err != nil {
		t.Fatalf("%s.yaml: %v", name, err)
	}
	if asJSON, err = json.Marshal(repeated(tree.Root)); err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	decoder := json.NewDecoder(bytes.NewReader(asJSON))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&vectors); err != nil {
		t.Fatalf("%s.yaml: %v", name, err)
	}
	return vectors
}

// repeated writes out the texts of the form "@repeat N TEXT".
func repeated(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			value[key] = repeated(member)
		}
	case []any:
		for i, member := range value {
			value[i] = repeated(member)
		}
	case string:
		if rest, ok := strings.CutPrefix(value, "@repeat "); ok {
			count, text, _ := strings.Cut(rest, " ")
			if n, err := strconv.Atoi(count); err == nil {
				return strings.Repeat(text, n)
			}
		}
	}
	return value
}

// vectorGuest is a guest with some settings, or the reason why it did not come up.
type vectorGuest struct {
	module *sandbox.Module
	err    error
	log    *records
}

func loadVectorGuest(wasm []byte, cache string, settings json.RawMessage) *vectorGuest {
	g := &vectorGuest{log: &records{}}
	options := sandbox.Options{
		Settings: settings,
		CacheDir: cache,
		Logger:   slog.New(g.log),
		Limits:   sandbox.Limits{Deadline: time.Minute, Start: time.Minute, Instances: 1}, // the machine may be busy
		Operations: map[string]sandbox.Operation{
			"vectors.echo": func(_ context.Context, payload []byte) ([]byte, error) { return bytes.Clone(payload), nil },
		},
	}
	if len(settings) > 0 {
		fields, err := field.Parse(settings)
		if err != nil {
			return &vectorGuest{err: err}
		}
		options.SettingsFields = fields
	}
	g.module, g.err = sandbox.Load(context.Background(), wasm, options)
	return g
}

// run asks the guest and compares.
func (g *vectorGuest) run(t *testing.T, role sandbox.Role, v vector) {
	if v.Refused != "" {
		if want := "refuses its settings: " + v.Refused; g.err == nil || !strings.HasPrefix(g.err.Error(), want) {
			t.Errorf("the guest came up with %v, want %q", g.err, want)
		}
		return
	}
	if g.err != nil {
		t.Fatalf("the guest did not come up: %v", g.err)
	}
	payload, err := json.Marshal(v.Payload)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := field.Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	g.log.reset()
	var answer []byte
	err = g.module.Call(t.Context(), role, sandbox.Request{Payload: payload, Fields: fields}, func(b []byte) error {
		answer = bytes.Clone(b)
		return nil
	})
	if diff := cmp.Diff(v.Log, g.log.all()); v.Log != nil && diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
	var fault *sandbox.Fault
	switch {
	case errors.As(err, &fault):
		if !v.Fault {
			t.Errorf("the call failed: %v", err)
		}
	case err != nil:
		t.Fatal(err)
	default:
		v.compare(t, role, answer)
	}
}

// compare decodes the answer and compares what it says with what it should.
func (v vector) compare(t *testing.T, role sandbox.Role, answer []byte) {
	tree, err := field.Parse(answer)
	if err != nil {
		t.Fatalf("the answer is no JSON: %v\n%s", err, answer)
	}
	got, _ := tree.Root.(map[string]any)
	if v.Failure != "" || v.Fault {
		failed := got["apiVersion"] == "v1" && got["kind"] == "Status" && got["status"] == "Failure"
		if !failed || !v.Fault && got["message"] != v.Failure {
			t.Errorf("got %s, want a failed Status with the message %q", answer, v.Failure)
		}
		return
	}
	payload := v.Payload.(map[string]any)
	for _, key := range []string{"apiVersion", "kind"} {
		if got[key] != payload[key] {
			t.Errorf("the answer's %s is %v, the payload's %v", key, got[key], payload[key])
		}
	}
	said, _ := got["status"].(map[string]any)
	if role == sandbox.Admit {
		said, _ = got["response"].(map[string]any)
		v.unpatch(t, said)
	}
	if diff := cmp.Diff(plain(t, v.Want), plain(t, said)); diff != "" {
		t.Errorf("the answer (-want +got):\n%s", diff)
	}
}

// unpatch checks what ties a response to its request, and puts the patched object in the place of the patch.
func (v vector) unpatch(t *testing.T, response map[string]any) {
	request := v.Payload.(map[string]any)["request"].(map[string]any)
	if response["uid"] != request["uid"] {
		t.Errorf("the answer's uid is %v, the request's %v", response["uid"], request["uid"])
	}
	delete(response, "uid")
	patchType, encoded := response["patchType"], response["patch"]
	if encoded == nil && patchType == nil {
		return
	}
	delete(response, "patchType")
	delete(response, "patch")
	object, err := json.Marshal(request["object"])
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		Patch []byte `json:"patch"`
	}
	if err := json.Unmarshal(mustMarshal(t, map[string]any{"patch": encoded}), &content); err != nil || patchType != "JSONPatch" {
		t.Fatalf("the patch is %v of the type %v: %v", encoded, patchType, err)
	}
	patch, err := jsonpatch.DecodePatch(content.Patch)
	if err != nil {
		t.Fatalf("%v: %s", err, content.Patch)
	}
	if object, err = patch.Apply(object); err != nil {
		t.Fatalf("%v: %s", err, content.Patch)
	}
	response["object"] = json.RawMessage(object)
}

// plain is JSON as decoded, without members that are empty, but for those of the object and the texts in lists.
func plain(t *testing.T, value map[string]any) map[string]any {
	var decoded map[string]any
	if err := json.Unmarshal(mustMarshal(t, value), &decoded); err != nil {
		t.Fatal(err)
	}
	return withoutEmpty(decoded)
}

func withoutEmpty(value map[string]any) map[string]any {
	kept := map[string]any{}
	for key, member := range value {
		if inner, ok := member.(map[string]any); ok && key != "object" {
			if inner = withoutEmpty(inner); len(inner) > 0 {
				kept[key] = inner
			}
			continue
		}
		list, isList := member.([]any)
		if member != nil && member != "" && member != false && !(isList && len(list) == 0) {
			kept[key] = member
		}
	}
	return kept
}

func mustMarshal(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
