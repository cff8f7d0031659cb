package meter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/meter"
)

// specDir finds WebAssembly's own test suite in the runtime's module, translated from text into modules and commands.
func specDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
	if err != nil {
		t.Skipf("cannot find the runtime's source, which has the specification's tests: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "v2", "testdata")); err != nil {
		t.Skipf("the runtime's source comes without the specification's tests: %v", err)
	}
	return dir
}

// script is one file of the suite.
type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type       string `json:"type"`
	Line       int    `json:"line"`
	Name       string `json:"name"`
	Filename   string `json:"filename"`
	As         string `json:"as"`
	ModuleType string `json:"module_type"`
	Action     struct {
		Type   string  `json:"type"`
		Field  string  `json:"field"`
		Module string  `json:"module"`
		Args   []value `json:"args"`
	} `json:"action"`
}

type value struct {
	Type  string          `json:"type"`
	Lane  string          `json:"lane_type"`
	Value json.RawMessage `json:"value"`
}

// words are a value as the runtime takes it; a vector takes two.
func (v value) words(t *testing.T) []uint64 {
	t.Helper()
	var one string
	if v.Type != "v128" {
		if err := json.Unmarshal(v.Value, &one); err != nil {
			t.Fatal(err)
		}
		return []uint64{parse(t, one)}
	}
	var lanes []string
	if err := json.Unmarshal(v.Value, &lanes); err != nil {
		t.Fatal(err)
	}
	bits := 128 / len(lanes)
	words := make([]uint64, 2)
	for i, lane := range lanes {
		at := i * bits
		words[at/64] |= parse(t, lane) << (at % 64)
	}
	return words
}

func parse(t *testing.T, text string) uint64 {
	t.Helper()
	if text == "null" {
		return 0
	}
	if strings.HasPrefix(text, "nan:") {
		return 0x7fc00000
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		signed, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return uint64(signed)
	}
	return n
}

// provider is meter.Provide or the like.
type provider func(context.Context, wazero.Runtime) error

// world runs one script, with its modules as they are or rewritten, and keeps what can be observed of it.
type world struct {
	t       *testing.T
	runtime wazero.Runtime
	rewrite func([]byte) ([]byte, error)
	named   map[string]api.Module
	// last is the module made last, out of the file lastPath.
	last     api.Module
	lastPath string
	seen     []string
}

func newWorld(t *testing.T, spectest []byte, rewrite func([]byte) ([]byte, error), provide provider) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, rewrite: rewrite, named: map[string]api.Module{}, runtime: wazero.NewRuntime(ctx)}
	if err := provide(ctx, w.runtime); err != nil {
		t.Fatal(err)
	}
	if _, err := w.runtime.InstantiateWithConfig(ctx, spectest, wazero.NewModuleConfig()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) run(dir string, commands []command) []string {
	for i, c := range commands {
		if i+1 < len(commands) && commands[i+1].Type == "register" {
			c.As = commands[i+1].As // under this name others import it
		}
		if strings.HasSuffix(c.Filename, ".wat") {
			continue // text that is malformed never becomes a module
		}
		w.seen = append(w.seen, fmt.Sprintf("line %d, %s: %s", c.Line, c.Type, w.command(dir, c)))
	}
	if err := w.runtime.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
	return w.seen
}

func (w *world) command(dir string, c command) string {
	switch c.Type {
	case "register":
		return "" // done when the module was made
	case "assert_return", "assert_trap", "action":
		return w.act(c)
	case "assert_exhaustion":
		seen := w.act(c)
		if c.Action.Module == "" { // an instance must not be used again when its stack has overflowed
			w.last, _ = w.instantiate(w.lastPath, "")
		}
		return seen
	}
	module, err := w.instantiate(filepath.Join(dir, c.Filename), c.As)
	if c.Type == "module" {
		w.last, w.lastPath = module, filepath.Join(dir, c.Filename)
		if c.Name != "" {
			w.named[c.Name] = module
		}
	}
	if err != nil && c.Type != "assert_uninstantiable" {
		return "refused"
	}
	return outcome(err)
}

func (w *world) instantiate(path, name string) (api.Module, error) {
	wasm, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	rewritten, err := w.rewrite(wasm)
	if err != nil {
		return nil, err
	}
	return w.runtime.InstantiateWithConfig(context.Background(), rewritten, wazero.NewModuleConfig().WithName(name))
}

func (w *world) act(c command) string {
	module := w.last
	if c.Action.Module != "" {
		module = w.named[c.Action.Module]
	}
	if module == nil {
		return "no module"
	}
	if c.Action.Type == "get" {
		global := module.ExportedGlobal(c.Action.Field)
		if global == nil {
			return "no global"
		}
		return fmt.Sprint(global.Get())
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.words(w.t)...)
	}
	function := module.ExportedFunction(c.Action.Field)
	if function == nil {
		return "no function"
	}
	results, err := function.Call(context.Background(), args...)
	if err != nil {
		return outcome(err)
	}
	return fmt.Sprint(results, memory(module))
}

// memory is a digest of what a module's memory holds.
func memory(module api.Module) string {
	if reflect.ValueOf(module.Memory()).IsNil() { // the runtime answers a nil pointer, not a nil interface
		return ""
	}
	all, _ := module.Memory().Read(0, min(module.Memory().Size(), 8<<20))
	return fmt.Sprintf("memory of %d bytes %x", module.Memory().Size(), crc32.Checksum(all, crc32.MakeTable(crc32.Castagnoli)))
}

// outcome is an error without what differs between runs.
func outcome(err error) string {
	if err == nil {
		return "fine"
	}
	if errors.Is(err, meter.ErrStackOverflow) {
		return "stack overflow"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	if before, after, found := strings.Cut(line, "] failed: "); found && strings.HasPrefix(before, "start function[") {
		line = after // the function's index is another, of course
	}
	return strings.TrimPrefix(line, "wasm error: ")
}

// TestARewrittenModuleDoesWhatItDid runs the specification's own test suite on modules as they are and on rewritten ones, with
// slices of the usual length and with the shortest.
func TestARewrittenModuleDoesWhatItDid(t *testing.T) {
	root := specDir(t)
	spectest, err := os.ReadFile(filepath.Join(root, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "v2", "testdata")
	scripts, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(scripts) < 100 {
		t.Fatalf("found %d scripts in %s (%v), want more than a hundred", len(scripts), dir, err)
	}
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		arithmetic := strings.HasPrefix(name, "simd_")
		if raced && (arithmetic || strings.HasPrefix(name, "memory_")) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s script
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &s); err != nil {
				t.Fatal(err)
			}
			same := func(wasm []byte) ([]byte, error) { return wasm, nil }
			plain := newWorld(t, spectest, same, meter.Provide).run(dir, s.Commands)
			metered := newWorld(t, spectest, meter.Rewrite, meter.Provide).run(dir, s.Commands)
			if diff := cmp.Diff(plain, metered); diff != "" {
				t.Errorf("rewritten modules do something else (- plain, + rewritten):\n%s", diff)
			}
			if arithmetic {
				return // thousands of lines of arithmetic, without loops
			}
			breathless := newWorld(t, spectest, meter.Rewrite, provideSlice(1001)).run(dir, s.Commands)
			if diff := cmp.Diff(plain, breathless); diff != "" {
				t.Errorf("modules that pause all the time do something else (- plain, + rewritten):\n%s", diff)
			}
		})
	}
}

// provideSlice is meter.Provide with slices of another length.
func provideSlice(fuel uint64) provider {
	return func(ctx context.Context, runtime wazero.Runtime) error {
		refill := func(_ context.Context, stack []uint64) {
			if int32(stack[0]) < 0 {
				panic(meter.ErrStackOverflow)
			}
			stack[0] = fuel
		}
		i32 := []api.ValueType{api.ValueTypeI32}
		_, err := runtime.NewHostModuleBuilder(meter.ImportModule).
			NewFunctionBuilder().WithGoFunction(api.GoFunc(refill), i32, i32).Export("refill").
			Instantiate(ctx)
		return err
	}
}
