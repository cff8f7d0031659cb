package rego

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"gatehouse/plugins/internal/review"
	"gatehouse/plugins/sandbox"
)

// guest is one running copy of a policy.
type guest struct {
	machine    *sandbox.Machine
	module     api.Module
	functions  functions
	convention Convention
	// neverPatches says that a patch is a fault.
	neverPatches bool
	// entrypoint and its number are the rule that is asked.
	entrypoint       string
	entrypointNumber uint32
	// names are the host's functions that the policy calls, by their number.
	names    map[int32]string
	builtins map[string]builtin
	// inBuiltin is set while one of them is at work, which has the guest read and write values.
	inBuiltin bool
	// data is where the data lie, base where they begin, and heap where free memory begins behind them: each call starts there anew.
	data, base, heap uint32
	// inventory is where data.inventory comes from, and inventoryRevision which one the data have; nil for a policy that reads none.
	inventory         Inventory
	inventoryRevision uint64
	// sent are the answers to what the call under way has sent by http.send.
	sent map[string]any
	// now is the time of the call under way, for a policy sees none pass; clock tells it.
	now   time.Time
	clock func() time.Time
	// deadline is when the work under way must have ended.
	deadline time.Time
}

var _ sandbox.Guest = (*guest)(nil)

// functions are those of the module that are called. Each is used by one level of calls only: malloc and the values' functions also
// run on behalf of the host's functions, while eval waits for them.
type functions struct {
	malloc, jsonParse, jsonDump, valueParse, valueDump            api.Function
	heapGet, heapSet                                              api.Function
	newContext, setInput, setData, setEntrypoint, eval, getResult api.Function
}

// Start reads what the policy needs and has, and gives it the settings as data.
func (p *protocol) Start(ctx context.Context, machine *sandbox.Machine) (sandbox.Guest, error) {
	g := &guest{machine: machine, clock: p.options.Now, now: p.options.Now()}
	g.builtins = builtins(clock{
		now:  func() time.Time { return g.now },
		late: func() bool { return time.Now().After(g.deadline) },
	})
	g.builtins["http.send"] = builtin{arity: 1, ask: sender{fetch: p.options.Operations[fetchOperation], sent: &g.sent}.send}
	g.builtins["internal.print"] = of(1, g.print)
	g.deadline, _ = ctx.Deadline()
	ctx = context.WithValue(ctx, guestKey{}, g)
	var err error
	if g.module, err = machine.Instantiate(ctx, "starting", func(c wazero.ModuleConfig) wazero.ModuleConfig { return c }); err != nil {
		return nil, err
	}
	if err := g.start(ctx, p); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *guest) start(ctx context.Context, p *protocol) error {
	f := g.module.ExportedFunction
	g.functions = functions{
		malloc: f("opa_malloc"), jsonParse: f("opa_json_parse"), jsonDump: f("opa_json_dump"),
		valueParse: f("opa_value_parse"), valueDump: f("opa_value_dump"), heapGet: f("opa_heap_ptr_get"), heapSet: f("opa_heap_ptr_set"),
		newContext: f("opa_eval_ctx_new"), setInput: f("opa_eval_ctx_set_input"), setData: f("opa_eval_ctx_set_data"),
		setEntrypoint: f("opa_eval_ctx_set_entrypoint"), eval: f("eval"), getResult: f("opa_eval_ctx_get_result"),
	}
	if err := g.findBuiltins(ctx); err != nil {
		return err
	}
	if err := g.findEntrypoint(ctx, p.options.Entrypoint); err != nil {
		return err
	}
	g.convention, g.neverPatches = p.convention(g.entrypoint), p.neverPatches
	if g.convention == Gatekeeper && p.readsInventory {
		if g.inventory = p.options.Inventory; g.inventory == nil {
			return sandbox.Faultf(sandbox.Rejected, "reads data.inventory, and is granted no objects to have there: add to its YAML file "+
				"those that it needs, such as `capabilities: {k8s: {objects: [{apiVersion: v1, kind: Namespace}]}}`")
		}
	}
	data := []byte("{}")
	if g.convention == OPA {
		data = g.machine.Settings()
	}
	var err error
	if g.base, err = g.run(ctx, g.functions.heapGet, "opa_heap_ptr_get"); err != nil {
		return err
	}
	return g.setData(ctx, data)
}

// setData puts data in the place of those that there were.
func (g *guest) setData(ctx context.Context, data []byte) error {
	if _, err := g.run(ctx, g.functions.heapSet, "opa_heap_ptr_set", g.base); err != nil {
		return err
	}
	var err error
	if g.data, err = g.write(ctx, data, g.functions.jsonParse); err != nil {
		return err
	}
	g.heap, err = g.run(ctx, g.functions.heapGet, "opa_heap_ptr_get")
	return err
}

// takeStock brings data.inventory up to date, which costs something only where an object in it has changed.
func (g *guest) takeStock(ctx context.Context) error {
	if g.inventory == nil {
		return nil
	}
	current, revision, err := g.inventory.Current(ctx)
	if err != nil {
		return sandbox.Faultf(sandbox.Refused, "cannot read data.inventory: %v", err)
	}
	if revision == g.inventoryRevision {
		return nil
	}
	if err := g.setData(ctx, slices.Concat([]byte(`{"inventory":`), current, []byte("}"))); err != nil {
		return err
	}
	g.inventoryRevision = revision
	return nil
}

// findBuiltins sees to it that all is there that the policy will ask for.
func (g *guest) findBuiltins(ctx context.Context) error {
	numbers, err := g.table(ctx, "builtins")
	if err != nil {
		return err
	}
	g.names = make(map[int32]string, len(numbers))
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		if _, ok := g.builtins[name]; !ok {
			missing = append(missing, name)
		}
		g.names[numbers[name]] = name
	}
	if len(missing) > 0 {
		return sandbox.Faultf(sandbox.Rejected, "calls functions of Rego that this server does not have: %s", sandbox.Printable([]byte(strings.Join(missing, ", ")), 256))
	}
	return nil
}

func (g *guest) findEntrypoint(ctx context.Context, wanted string) error {
	numbers, err := g.table(ctx, "entrypoints")
	if err != nil {
		return err
	}
	for name, n := range numbers {
		if name == wanted || wanted == "" && n == 0 {
			g.entrypoint, g.entrypointNumber = name, uint32(n)
			return nil
		}
	}
	return sandbox.Faultf(sandbox.Refused, "has no entrypoint %q, but %s", wanted,
		sandbox.Printable([]byte(strings.Join(slices.Sorted(maps.Keys(numbers)), ", ")), 256))
}

// table reads a mapping of names to numbers, which a function of the module gives.
func (g *guest) table(ctx context.Context, name string) (map[string]int32, error) {
	at, err := g.run(ctx, g.module.ExportedFunction(name), name)
	if err != nil {
		return nil, err
	}
	text, err := g.dump(ctx, at, g.functions.jsonDump, name)
	if err != nil {
		return nil, err
	}
	var numbers map[string]int32
	if err := json.Unmarshal(text, &numbers); err != nil {
		return nil, sandbox.Garbledf("its %s are no table: %v", name, err)
	}
	return numbers, nil
}

// print logs what print is given: a list of the sets of what each argument may be.
func (g *guest) print(args []any) (any, error) {
	list, _ := args[0].([]any)
	words := make([]string, len(list))
	for i, all := range list {
		words[i] = "<undefined>"
		if one, ok := all.(set); ok && len(one) > 0 {
			words[i] = fmt.Sprint(formatted(one[0]))
		}
	}
	g.machine.Log(slog.LevelInfo, []byte(strings.Join(words, " ")))
	return true, nil
}

func (g *guest) builtin(id int32) (string, builtin, bool) {
	name, ok := g.names[id]
	return name, g.builtins[name], ok
}

// Call asks the policy about a review.
func (g *guest) Call(ctx context.Context, _ sandbox.Role, payload []byte) ([]byte, error) {
	request, err := review.Parse(payload)
	if err != nil {
		return nil, err
	}
	input, err := g.input(request)
	if err != nil {
		return nil, err
	}
	g.now = g.clock()
	g.deadline, _ = ctx.Deadline()
	g.sent = nil
	ctx = context.WithValue(ctx, guestKey{}, g)
	if err := g.takeStock(ctx); err != nil {
		return nil, err
	}
	result, err := g.evaluate(ctx, input)
	if err != nil {
		return nil, err
	}
	response, err := g.response(request, result)
	if err != nil {
		return nil, err
	}
	return review.Answer(response)
}

// evaluate returns the results as JSON, a view of the guest's memory.
func (g *guest) evaluate(ctx context.Context, input []byte) ([]byte, error) {
	f := g.functions
	if _, err := g.run(ctx, f.heapSet, "opa_heap_ptr_set", g.heap); err != nil {
		return nil, err
	}
	value, err := g.write(ctx, input, f.jsonParse)
	if err != nil {
		return nil, err
	}
	evaluation, err := g.run(ctx, f.newContext, "opa_eval_ctx_new")
	if err != nil {
		return nil, err
	}
	for _, step := range []struct {
		function api.Function
		name     string
		value    uint32
	}{
		{f.setInput, "opa_eval_ctx_set_input", value},
		{f.setData, "opa_eval_ctx_set_data", g.data},
		{f.setEntrypoint, "opa_eval_ctx_set_entrypoint", g.entrypointNumber},
	} {
		if _, err := g.run(ctx, step.function, step.name, evaluation, step.value); err != nil {
			return nil, err
		}
	}
	if _, err := g.run(ctx, f.eval, "evaluate "+g.entrypoint, evaluation); err != nil {
		return nil, err
	}
	result, err := g.run(ctx, f.getResult, "opa_eval_ctx_get_result", evaluation)
	if err != nil {
		return nil, err
	}
	return g.dump(ctx, result, f.jsonDump, "the result of "+g.entrypoint)
}

// write puts text into the guest's memory and has it made a value there, whose address it returns.
func (g *guest) write(ctx context.Context, text []byte, parse api.Function) (uint32, error) {
	at, err := g.run(ctx, g.functions.malloc, "opa_malloc", uint32(len(text)))
	if err != nil {
		return 0, err
	}
	buffer, err := sandbox.View(g.module.Memory(), at, uint32(len(text)), "the buffer from opa_malloc")
	if err != nil {
		return 0, err
	}
	copy(buffer, text)
	value, err := g.run(ctx, parse, "parse", at, uint32(len(text)))
	if err == nil && value == 0 {
		err = sandbox.Faultf(sandbox.Refused, "cannot parse a value of %d bytes: has it too little memory?", len(text))
	}
	return value, err
}

// dump has a value written as text, which is a view of the guest's memory.
func (g *guest) dump(ctx context.Context, value uint32, dump api.Function, what string) ([]byte, error) {
	at, err := g.run(ctx, dump, "dump", value)
	if err != nil {
		return nil, err
	}
	memory := g.module.Memory()
	if at == 0 || at >= memory.Size() {
		return nil, sandbox.Faultf(sandbox.Misaddressed, "%s lies at %d, outside the guest's memory of %d bytes",
			what, at, memory.Size())
	}
	most := g.machine.Limits().Output
	text, _ := memory.Read(at, uint32(min(int64(memory.Size()-at), most+1)))
	end := bytes.IndexByte(text, 0)
	if end < 0 {
		return nil, sandbox.Faultf(sandbox.Oversized, "%s is longer than its output limit of %d bytes", what, most)
	}
	return text[:end], nil
}

// read takes a value out of the guest, for a function of the host.
func (g *guest) read(ctx context.Context, at uint32) (any, error) {
	text, err := g.dump(ctx, at, g.functions.valueDump, "an argument")
	if err != nil {
		return nil, err
	}
	value, err := parseValue(text)
	if err != nil {
		return nil, sandbox.Garbledf("%v", err)
	}
	return value, nil
}

func (g *guest) run(ctx context.Context, function api.Function, doing string, args ...uint32) (uint32, error) {
	var room [2]uint64
	for i, arg := range args {
		room[i] = uint64(arg)
	}
	result, err := g.machine.Run(ctx, function, doing, room[:]...)
	return uint32(result), err
}

// Close frees the guest's memory.
func (g *guest) Close() {
	_ = g.module.Close(context.Background()) // reports nothing of use
}
