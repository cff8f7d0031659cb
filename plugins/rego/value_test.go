package rego

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/plugins/sandbox"
)

// TestASubsetOfDeepObjectsIsLookedForOnce counts memory, which stands for work: who sends a request decides how deep its objects are.
func TestASubsetOfDeepObjectsIsLookedForOnce(t *testing.T) {
	const depth, most = 3000, 20 << 20
	nest := func(inner any) any {
		for range depth {
			inner = object{{"a", inner}}
		}
		return inner
	}
	for _, test := range []struct {
		inner, other any
		within       bool
	}{
		{"x", "x", true}, {"x", "y", false}, {[]any{"x", "y"}, []any{"y"}, true}, {[]any{"x"}, []any{"x"}, true}, {set{"x"}, set{"y"}, false},
		{object{}, "x", false}, {nil, nil, true},
	} {
		var before, after runtime.MemStats
		super, sub := nest(test.inner), nest(test.other)
		runtime.ReadMemStats(&before)
		within, err := subset(super, sub)
		runtime.ReadMemStats(&after)
		if within != test.within || err != nil {
			t.Errorf("%v in %v: %t, %v", test.other, test.inner, within, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("%v in %v: it took %d bytes", test.other, test.inner, took)
		}
	}
}

func TestValuesAreReadAndWrittenInRegosNotation(t *testing.T) {
	for _, test := range []struct {
		text string
		want any
	}{
		{`null`, nil},
		{` [true, false] `, []any{true, false}},
		{`-1.5e3`, json.Number("-1.5e3")},
		{`"a\"b\\"`, `a"b\`},
		{`set()`, set{}},
		{`{}`, object{}},
		{`{"b","a",1,null}`, set{nil, json.Number("1"), "a", "b"}},
		{`{10,9}`, set{json.Number("9"), json.Number("10")}},
		{`{"b":[],"a":{{1}:2}}`, object{{"a", object{{set{json.Number("1")}, json.Number("2")}}}, {"b", []any{}}}},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := parseValue([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(member{})); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			again, err := parseValue(appendValue(nil, got, " "))
			if diff := cmp.Diff(test.want, again, cmp.AllowUnexported(member{})); err != nil || diff != "" {
				t.Errorf("written and read again: %v\n%s", err, diff)
			}
		})
	}
}

func TestWhatIsNoValueIsAnError(t *testing.T) {
	for _, text := range []string{``, `[`, `[1`, `{1`, `{1:`, `{"a":1,`, `{"a":1,2}`, `"x`, `"\`, `nul`, `1 2`, `-`, strings.Repeat("[", 1e6)} {
		if value, err := parseValue([]byte(text)); err == nil {
			t.Errorf("%.20q is read as %v", text, value)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	for _, text := range []string{`{"a":[1,{2}],"b":set()}`, `{{}:null}`, `"é\n"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := parseValue(text)
		if err != nil {
			return
		}
		if _, err := parseValue(appendValue(nil, value, "")); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}

func TestFunctionsEndBeforeTheyMakeTooMuch(t *testing.T) {
	long := strings.Repeat("x", maxText/2)
	all := builtins(clock{late: func() bool { return false }})
	for _, test := range []struct {
		name string
		args []any
	}{
		{"sprintf", []any{"%s%s%s", []any{long, long, long}}},
		{"sprintf", []any{"%99999d", []any{json.Number("1")}}},
		{"sprintf", []any{"%[1]s", []any{long}}},
		{"sprintf", []any{"%*d", []any{json.Number("99999"), json.Number("1")}}},
		{"regex.replace", []any{long, "x", "yyyyyyyyyy"}},
		{"regex.replace", []any{strings.Repeat("x", 1000), "(.*)", strings.Repeat("$1", 1100)}},
		{"regex.split", []any{"((a{100}){100}){10}", long}},
		{"indexof_n", []any{long, strings.Repeat("x", 1000)}},
		{"strings.any_prefix_match", []any{many(2000), many(2000)}},
		{"net.cidr_expand", []any{"10.0.0.0/8"}},
		{"net.cidr_expand", []any{"::/0"}},
		{"net.cidr_merge", []any{many(maxElements + 1)}},
		{"numbers.range_step", []any{json.Number("0"), json.Number("9223372036854775807"), json.Number("1")}},
		{"object.subset", []any{many(10_000), many(5_000)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if result, err := all[test.name].call(test.args); err == nil {
				t.Errorf("it answers %.60v", result)
			}
		})
	}
}

func TestASearchEndsWhenItIsLate(t *testing.T) {
	searches := 0
	late := func() bool { searches++; return searches > 10 }
	defer func() {
		var fault *sandbox.Fault
		if err, ok := recover().(error); !ok || !errors.As(err, &fault) || fault.Kind != sandbox.Overdue {
			t.Errorf("it ends by %v, want a fault of the kind overdue", err)
		}
	}()
	result, err := builtins(clock{late: late})["regex.split"].call([]any{"x", strings.Repeat("x", 1000)})
	t.Errorf("it ends with %v, %v", result, err)
}

func TestFunctionsOfTheHostAreNotCalledWithinEachOther(t *testing.T) {
	g := &guest{names: map[int32]string{0: "opa.runtime"}, builtins: builtins(clock{}), inBuiltin: true}
	defer func() {
		var fault *sandbox.Fault
		if err, ok := recover().(error); !ok || !errors.As(err, &fault) || fault.Kind != sandbox.Trapped {
			t.Errorf("it ends by %v, want a fault of the kind trapped", err)
		}
	}()
	hostBuiltin(0)(context.WithValue(t.Context(), guestKey{}, g), nil, make([]uint64, 2))
	t.Error("it has been called")
}

func many(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = "text"
	}
	return list
}
