package meter_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/plugins/meter"
)

// module strings sections together.
func module(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
}

func section(id byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	return append(number([]byte{id}, len(all)), all...)
}

// number appends n in LEB128.
func number(to []byte, n int) []byte { return binary.AppendUvarint(to, uint64(n)) }

func num(n int) []byte { return number(nil, n) }

// function is a code section of one function without locals.
func function(instructions []byte) []byte {
	body := append(append([]byte{0}, instructions...), 0x0b)
	return section(10, num(1), num(len(body)), body)
}

func TestHostileNumbersAreRefusedBeforeMemoryIsSetAside(t *testing.T) {
	const many = 1 << 31
	procedure := section(1, num(1), []byte{0x60, 0, 0})
	for _, test := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"two billion types", module(section(1, num(many))), "has 2147483648 types"},
		{"more types than the section holds", module(section(1, num(50_000))), "is truncated"},
		{"two billion parameters", module(section(1, num(1), []byte{0x60}, num(many), []byte{0})), "parameters"},
		{"two billion imports", module(section(2, num(many), []byte{0, 0, 0})), "imports"},
		{"an import's name of two gigabytes", module(section(2, num(1), num(many), []byte{0, 0, 0})), "is truncated"},
		{"two billion functions", module(section(3, num(many))), "functions"},
		{"two billion tables", module(section(4, num(many), []byte{0x70, 0, 0})), "tables"},
		{"two memories", module(section(5, num(2), []byte{0, 1, 0, 1})), "memories"},
		{"two billion globals", module(section(6, num(many), []byte{0, 0, 0})), "globals"},
		{"two billion exports", module(section(7, num(many), []byte{0, 0, 0})), "exports"},
		{"two billion element segments", module(section(9, num(many), []byte{0, 0, 0})), "element segments"},
		{"two billion elements", module(section(9, num(1), []byte{1, 0}, num(many))), "elements"},
		{"two billion bodies", module(section(10, num(many), []byte{0, 0, 0})), "functions"},
		{"two billion locals", module(procedure, section(3, num(1), []byte{0}), section(10, num(1), num(7), num(1), num(many), []byte{0x7f})), "local variables"},
		{"a data segment of two gigabytes", module(section(11, num(1), []byte{1}, num(many))), "is truncated"},
		{"a section that runs past the end", module([]byte{1, 0x7f}), "a section runs past the end"},
		{"bytes after a section's last thing", module(section(1, num(0), []byte("rest"))), "4 bytes are left over"},
		{"an endless number", module([]byte{1}, bytes.Repeat([]byte{0xff}, 20)), "is truncated"},
		{"many functions of many locals", module(procedure, section(3, num(200), bytes.Repeat([]byte{0}, 200)),
			section(10, num(200), bytes.Repeat(append(num(6), append(append(num(1), num(50_000)...), 0x7f, 0x0b)...), 200))), "local variables"},
		{"a function nested a million blocks deep", module(procedure, section(3, num(1), []byte{0}),
			function(append(bytes.Repeat([]byte{0x02, 0x40}, 1_000_000), bytes.Repeat([]byte{0x0b}, 1_000_000)...))), "has more than 10000 blocks"},
		{"a branch with two billion targets", module(procedure, section(3, num(1), []byte{0}),
			function(append([]byte{0x41, 0, 0x0e}, num(many)...))), "branch targets"},
		{"a passive data segment of 17 megabytes", module(section(11, num(1), []byte{1}, num(17<<20), make([]byte, 17<<20))), "passive data segment of 17825792 bytes"},
		{"a function of 3,000 loops", module(procedure, section(3, num(1), []byte{0}),
			function(bytes.Repeat([]byte{0x03, 0x40, 0x0b}, 3000))), "a loop counting for 4"},
		{"an instruction of tomorrow", module(procedure, section(3, num(1), []byte{0}), function([]byte{0xfb, 0})), "the instruction 0xfb"},
		{"instructions after the end", module(procedure, section(3, num(1), []byte{0}), function([]byte{0x0b})), "after its end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := meter.Rewrite(test.wasm)
			var fault *meter.Error
			if !errors.As(err, &fault) || !strings.Contains(fault.Cause, test.want) {
				t.Errorf("got %v, want an error with %q in it", err, test.want)
			}
		})
	}
}

func TestAnErrorSaysWhereItIs(t *testing.T) {
	one := module(section(1, num(1), []byte{0x60, 0, 0}), section(3, num(1), []byte{0}), function([]byte{0x01, 0xfb, 0}))
	_, err := meter.Rewrite(one)
	want := &meter.Error{Cause: "has the instruction 0xfb, which this server does not know", Section: "code", Offset: 24, Function: 0}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
	if got := err.Error(); got != "has the instruction 0xfb, which this server does not know (section code, function 0, byte 24)" {
		t.Errorf("the message is %q", got)
	}
}

// TestGuestsCannotReachWhatIsAdded refers to the first thing past the module's own of each kind, which is the rewriter's.
func TestGuestsCannotReachWhatIsAdded(t *testing.T) {
	procedure := section(1, num(1), []byte{0x60, 0, 0})
	one := section(3, num(1), []byte{0})
	for _, test := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"reading the fuel", module(procedure, one, function([]byte{0x23, 0, 0x1a})), "the global 0, but has 0"},
		{"setting the fuel", module(procedure, one, function([]byte{0x41, 0, 0x24, 0})), "the global 0, but has 0"},
		{"exporting the fuel", module(procedure, one, section(7, num(1), num(1), []byte{'f', 3, 0}), function(nil)), "the global 0, but has 0"},
		{"taking the fuel for a global's start value", module(procedure, one,
			section(6, num(1), []byte{0x7f, 0, 0x23, 0, 0x0b}), function(nil)), "the global 0 in a constant expression"},
		{"calling a helper", module(procedure, one, function([]byte{0x10, 1})), "the function 1, but has 1"},
		{"exporting a helper", module(procedure, one, section(7, num(1), num(1), []byte{'f', 0, 1}), function(nil)), "the function 1, but has 1"},
		{"starting with a helper", module(procedure, one, section(8, num(1)), function(nil)), "the function 1, but has 1"},
		{"a helper in a table", module(procedure, one, section(4, num(1), []byte{0x70, 0, 1}),
			section(9, num(1), []byte{0, 0x41, 0, 0x0b}, num(1), num(1)), function(nil)), "the function 1, but has 1"},
		{"a reference to a helper", module(procedure, one, function([]byte{0xd2, 1, 0x1a})), "the function 1, but has 1"},
		{"a helper's type", module(procedure, one, function([]byte{0x02, 1, 0x0b})), "the type 1, but has 1"},
		{"calling a helper's type", module(procedure, one, function([]byte{0x41, 0, 0x11, 1, 0})), "the type 1, but has 1"},
		{"a function of a helper's type", module(procedure, section(3, num(1), num(1)), function(nil)), "the type 1, but has 1"},
		{"leaving the function's wrapping", module(procedure, one, function([]byte{0x0c, 1})), "the label 1, but has 1"},
		{"leaving a loop's wrapping", module(procedure, one, function([]byte{0x03, 0x40, 0x41, 0, 0x0e, 1, 0, 4, 0x0b})), "the label 4, but has 2"},
		{"importing what the host gives", module(procedure, section(2, num(1),
			appendName(nil, meter.ImportModule), appendName(nil, meter.ImportName), []byte{0, 0})), "which is the server's own"},
		{"copying to a second memory", module(procedure, one, section(5, num(1), []byte{0, 1}),
			function([]byte{0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 0x0a, 1, 0})), "refers to the memory 1, but has at most one"},
		{"filling a memory whose number is long", module(procedure, one, section(5, num(1), []byte{0, 1}),
			function([]byte{0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 0x0b, 0x80, 0})), "refers to the memory 128, but has at most one"},
		{"two code sections", module(procedure, one, function(nil), function(nil)), "section code twice or out of order"},
		{"code without functions", module(procedure, function(nil)), "has 1 function bodies, but declares 0 functions"},
		{"functions without code", module(procedure, one), "declares functions, but has no code"},
		{"a custom section whose name runs past it", module(section(0, []byte{0x7f})), "has no proper name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := meter.Rewrite(test.wasm)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q in it", err, test.want)
			}
		})
	}
}

func appendName(to []byte, name string) []byte { return append(number(to, len(name)), name...) }

func TestDamagedNamesDoNotHarm(t *testing.T) {
	for _, names := range [][]byte{
		section(0, []byte("\x04name"), []byte{1, 3}, num(1<<20)),                // more names than bytes
		section(0, []byte("\x04name"), []byte{1, 4, 1, 0, 1, 0xff}),             // a name that is no UTF-8
		section(0, []byte("\x04name"), []byte{1, 4, 1, 0, 1, 'f'}),              // the name of a function that is not there
		section(0, []byte("\x04name"), []byte{2, 0x7f}),                         // a subsection that runs past the end
		section(0, []byte("\x0c.debug_lines"), bytes.Repeat([]byte("x"), 1000)), // what no one reads
	} {
		got, err := meter.Rewrite(module(names))
		if err != nil || !bytes.Equal(got, module()) {
			t.Errorf("%.20q: became %x (%v), want a module without it", names, got, err)
		}
	}
}
