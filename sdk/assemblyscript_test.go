package sdk_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"gatehouse/plugins/field"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/sandbox"
)

func TestVectorsOfTheAssemblyScriptSDK(t *testing.T) {
	plugintest.RunVectors(t, compiled(t, "vectors-assemblyscript"))
}

func TestThePageInTheReadmeOfTheAssemblyScriptSDKIsAPlugin(t *testing.T) {
	page, err := os.ReadFile("testdata/owner-assemblyscript/owner.ts")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("assemblyscript/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```ts\n"+string(page)+"```\n") {
		t.Error("assemblyscript/README.md does not show testdata/owner-assemblyscript/owner.ts as it is")
	}
	module, err := sandbox.Load(t.Context(), compiled(t, "owner-assemblyscript"), sandbox.Options{
		CacheDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer module.Close()
	for labels, want := range map[string]string{`{}`: "set the label owner", `{"owner":"me"}`: `"allowed":true`} {
		request := vectorCall(t, sandbox.Admit, map[string]any{"request": map[string]any{
			"kind": map[string]any{"kind": "Pod"}, "object": map[string]any{"metadata": map[string]any{"labels": json.RawMessage(labels)}}}})
		err := module.Call(t.Context(), sandbox.Admit, request, func(answer []byte) error {
			if !strings.Contains(string(answer), want) {
				t.Errorf("with labels %s the answer is %s, want %s in it", labels, answer, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// vectorCall is what the vector guest is asked in these tests.
func vectorCall(t testing.TB, role sandbox.Role, review map[string]any) sandbox.Request {
	t.Helper()
	payload, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := field.Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	return sandbox.Request{Payload: payload, Fields: fields}
}

func TestMemoryOfAGuestInAssemblyScriptDoesNotGrow(t *testing.T) {
	const memory = 1 << 20 // a hundredth of what the calls need together
	module, err := sandbox.Load(t.Context(), compiled(t, "vectors-assemblyscript"), sandbox.Options{
		CacheDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		Limits: sandbox.Limits{Memory: memory, Deadline: time.Minute, Start: time.Minute, Instances: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer module.Close()
	request := vectorCall(t, sandbox.Admit, map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{"uid": "u", "name": "warn", "object": map[string]any{
			"data": map[string]any{"warning": strings.Repeat("ü", 2000)},
		}},
	})
	for call := range 10_000 {
		if err := module.Call(t.Context(), sandbox.Admit, request, func([]byte) error { return nil }); err != nil {
			t.Fatalf("call %d: %v", call, err)
		}
	}
}

func TestAGuestInAssemblyScriptSaysWhyItGaveUp(t *testing.T) {
	module, err := sandbox.Load(t.Context(), compiled(t, "vectors-assemblyscript"), sandbox.Options{
		CacheDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer module.Close()
	for word, want := range map[string]string{"trap": `a "trap" ü (vectors.ts:`, "malformed": "a JSON pointer"} {
		request := vectorCall(t, sandbox.Admit, map[string]any{"request": map[string]any{"name": word}})
		err := module.Call(t.Context(), sandbox.Admit, request, func([]byte) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", word, err, want)
		}
	}
}

// units is the guest whose functions take a text and answer one.
type units struct {
	module api.Module
	stderr bytes.Buffer
	log    []string
}

func openUnits(t *testing.T) *units {
	t.Helper()
	ctx := t.Context()
	u := &units{}
	runtime := wazero.NewRuntime(ctx)
	t.Cleanup(func() { _ = runtime.Close(context.WithoutCancel(ctx)) })
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, runtime); err != nil {
		t.Fatal(err)
	}
	_, err := runtime.NewHostModuleBuilder("gatehouse").
		NewFunctionBuilder().WithFunc(func(_ context.Context, guest api.Module, level, at, n uint32) {
		text, _ := guest.Memory().Read(at, n)
		u.log = append(u.log, fmt.Sprintf("%d %s", level, text))
	}).Export("log").
		Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	config := wazero.NewModuleConfig().WithStartFunctions("_initialize").WithStderr(&u.stderr).WithSysWalltime().
		WithRandSource(bytes.NewReader(bytes.Repeat([]byte{1, 2, 3}, 100)))
	if u.module, err = runtime.InstantiateWithConfig(ctx, compiled(t, "units-assemblyscript"), config); err != nil {
		t.Fatal(err)
	}
	return u
}

// call gives a function a text in UTF-16 and returns its answer.
func (u *units) call(ctx context.Context, function string, text []uint16) (string, error) {
	n := uint64(2 * len(text))
	at, err := u.module.ExportedFunction("alloc").Call(ctx, max(n, 1))
	if err != nil {
		return "", err
	}
	encoded, err := binary.Append(nil, binary.LittleEndian, text)
	if err != nil {
		return "", err
	}
	u.module.Memory().Write(uint32(at[0]), encoded)
	packed, err := u.module.ExportedFunction(function).Call(ctx, at[0], n)
	if err != nil {
		return "", err
	}
	answer, ok := u.module.Memory().Read(uint32(packed[0]>>32), uint32(packed[0]))
	if !ok {
		return "", fmt.Errorf("%s answers %#x, which is outside its memory", function, packed[0])
	}
	return string(answer), nil
}

// someTexts are those that are likely to go wrong, and random ones of the same stuff.
func someTexts() [][]uint16 {
	texts := [][]uint16{
		nil, utf16.Encode([]rune("plain")), utf16.Encode([]rune("\"\\/\b\f\n\r\t\x00\x1f\x7f ~ ~0 ~1 a/b")),
		utf16.Encode([]rune("größe 日本 🚪 \u0080\u07ff\u0800\uffff\U00010000\U0010ffff")),
		{0xD83D}, {0xDEAA}, {0xDEAA, 0xD83D}, {'a', 0xD83D, 'b'}, {0xD83D, 0xD83D, 0xDEAA}, {0xDBFF, 0xDFFF}, {0xDBFF, 0xE000},
	}
	stuff := []uint16{'a', '"', '\\', '/', '~', 0, 0x1f, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff}
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		text := make([]uint16, n)
		for i := range text {
			text[i] = stuff[random.IntN(len(stuff))]
		}
		texts = append(texts, text)
	}
	return texts
}

func TestTextsInAssemblyScriptAreWhatGoTakesThemFor(t *testing.T) {
	u := openUnits(t)
	for _, units := range someTexts() {
		text := string(utf16.Decode(units)) // half of a pair is U+FFFD, as for the SDK
		for function, want := range map[string]func(answer string) any{
			"quote": func(answer string) any { return decodeJSON(t, answer) },
			"base64": func(answer string) any {
				decoded, err := base64.StdEncoding.DecodeString(strings.Trim(answer, `"`))
				if err != nil {
					t.Error(err)
				}
				return string(decoded)
			},
			"pointer": func(answer string) any {
				return strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(answer, "/"))
			},
		} {
			answer, err := u.call(t.Context(), function, units)
			if err != nil {
				t.Fatal(err)
			}
			if got := want(answer); got != text {
				t.Errorf("%s of %q (%x) is %q, which is %q", function, text, units, answer, got)
			}
		}
	}
}

func TestMembersOfObjectsAreNamedInAssemblyScript(t *testing.T) {
	u := openUnits(t)
	for object, want := range map[string][]any{
		`{}`: {},
		` { "a" : { "b" : [ 1, "c", { "d" : 2 } ] } , "e":"f" } `: {"a", "e"},
		`{"a":"\"b\":","c":["\\","{"],"d\\":null,"\"":true}`:      {"a", "c", `d\`, `"`},
		`{"\ud83d\udeaa \u00fc\n\/\b\f\r\t":1,"größe 🚪":2}`:       {"🚪 ü\n/\b\f\r\t", "größe 🚪"},
		`{"":{"":""}}`: {""},
	} {
		answer, err := u.call(t.Context(), "keys", utf16.Encode([]rune(object)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(any(want), decodeJSON(t, answer)); diff != "" {
			t.Errorf("the members of %s (-want +got):\n%s", object, diff)
		}
	}
}

func TestJSONIsWrittenWholeInAssemblyScript(t *testing.T) {
	u := openUnits(t)
	text := `key "ü"`
	for function, want := range map[string]map[string]any{
		"write": {
			"text": text, "yes": true, "no": false, "number": -42.0, "none": []any{}, "nothing": map[string]any{},
			"many": []any{"a", 1.0, []any{map[string]any{}}, nil}, "texts": []any{"a", text}, "json": text,
			text: []any{text},
		},
		"otherwise": {"exists": true, "keys": 0.0, "isNumber": false, "bool": false, "or": "instead"},
	} {
		for range 3 { // the buffer is used again
			answer, err := u.call(t.Context(), function, utf16.Encode([]rune(text)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(any(want), decodeJSON(t, answer)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", function, diff)
			}
		}
	}
}

func TestWhatAssemblyScriptWouldImportTheSDKHas(t *testing.T) {
	u := openUnits(t)
	before := time.Now().UnixMilli()
	answer, err := u.call(t.Context(), "runtime", utf16.Encode([]rune("größe")))
	if err != nil {
		t.Fatal(err)
	}
	values := decodeJSON(t, answer).([]any)
	if random := values[0].(float64); random <= 0 || random >= 1 {
		t.Errorf("Math.random() is %v", random)
	}
	if now := int64(values[1].(float64)); now < before || now > time.Now().UnixMilli() {
		t.Errorf("Date.now() is %d, and was asked after %d", now, before)
	}
	if diff := cmp.Diff([]string{"1 log", "2 warning", "3 größe", "0 trace 1.5 2.0"}, u.log); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
	if _, err := u.call(t.Context(), "abort", utf16.Encode([]rune("größe"))); err == nil {
		t.Error("a throw does not trap")
	}
	if !strings.HasPrefix(u.stderr.String(), "größe (units.ts:") {
		t.Errorf("the guest says %q when it gives up", &u.stderr)
	}
}

func TestGuestsInAssemblyScriptImportNothingElse(t *testing.T) {
	for name, want := range map[string][]string{
		"vectors-assemblyscript": {"gatehouse.field", "gatehouse.host_call", "gatehouse.host_read", "gatehouse.log", "wasi_snapshot_preview1.fd_write"},
		"units-assemblyscript": {"gatehouse.log", "wasi_snapshot_preview1.clock_time_get", "wasi_snapshot_preview1.fd_write",
			"wasi_snapshot_preview1.random_get"},
	} {
		ctx := t.Context()
		runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
		code, err := runtime.CompileModule(ctx, compiled(t, name))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, function := range code.ImportedFunctions() {
			module, name, _ := function.Import()
			got = append(got, module+"."+name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("the imports of %s (-want +got):\n%s", name, diff)
		}
		if err := runtime.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

func decodeJSON(t *testing.T, text string) (value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return value
}

// BenchmarkAssemblyScript is the time of one call, without making the review.
func BenchmarkAssemblyScript(b *testing.B) {
	module, err := sandbox.Load(b.Context(), compiled(b, "vectors-assemblyscript"), sandbox.Options{
		CacheDir: b.TempDir(), Logger: slog.New(slog.DiscardHandler), Limits: sandbox.Limits{Instances: 1},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer module.Close()
	admission := func(word string) map[string]any {
		return map[string]any{"request": map[string]any{"uid": "1d9d0a8e-0d5c-4d0b-9d2c-2f7d0a1d3b5e", "name": word, "object": map[string]any{
			"metadata": map[string]any{"name": "web"}, "data": map[string]any{"owner": "jane"}}}}
	}
	for _, test := range []struct {
		name   string
		role   sandbox.Role
		review map[string]any
	}{
		{"admit/allow", sandbox.Admit, admission("allow")},
		{"admit/label", sandbox.Admit, admission("label")},
		{"authorize/allow", sandbox.Authorize, map[string]any{"spec": map[string]any{"user": "allow"}}},
		{"authenticate/accept", sandbox.Authenticate, map[string]any{
			"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": map[string]any{"token": "accept"}}},
	} {
		b.Run(test.name, func(b *testing.B) {
			request := vectorCall(b, test.role, test.review)
			for b.Loop() {
				if err := module.Call(b.Context(), test.role, request, func([]byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
