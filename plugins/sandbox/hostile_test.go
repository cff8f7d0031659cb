package sandbox_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"gatehouse/plugins/sandbox"
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
		{"a section that runs past the end", module([]byte{1, 0x7f}), "a section runs past the end (byte 8)"},
		{"bytes after a section's last thing", module(section(1, num(0), []byte("rest"))), "4 bytes are left over"},
		{"an endless number", module([]byte{1}, bytes.Repeat([]byte{0xff}, 20)), "is truncated"},
		{"many functions of many locals", module(procedure, section(3, num(200), bytes.Repeat([]byte{0}, 200)),
			section(10, num(200), bytes.Repeat(append(num(6), append(append(num(1), num(50_000)...), 0x7f, 0x0b)...), 200))), "local variables"},
		{"a function nested a million blocks deep", module(procedure, section(3, num(1), []byte{0}),
			function(append(bytes.Repeat([]byte{0x02, 0x40}, 1_000_000), bytes.Repeat([]byte{0x0b}, 1_000_000)...))), "has more than 10000 blocks"},
		{"a branch with two billion targets", module(procedure, section(3, num(1), []byte{0}),
			function(append([]byte{0x41, 0, 0x0e}, num(many)...))), "branch targets"},
		{"an instruction of tomorrow", module(procedure, section(3, num(1), []byte{0}), function([]byte{0xfb, 0})), "the instruction 0xfb"},
		{"instructions after the end", module(procedure, section(3, num(1), []byte{0}), function([]byte{0x0b})), "after its end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := sandbox.Load(context.Background(), test.wasm, sandbox.Options{Limits: testLimits(), Logger: quiet()})
			if err == nil {
				m.Close()
			}
			var fault *sandbox.Fault
			if !errors.As(err, &fault) || !strings.Contains(fault.Cause, test.want) {
				t.Errorf("got %v, want a fault with %q in it", err, test.want)
			}
		})
	}
}

func TestDamagedNamesDoNotHarm(t *testing.T) {
	for _, names := range [][]byte{
		section(0, []byte("\x04name"), []byte{1, 3}, num(1<<20)),                // more names than bytes
		section(0, []byte("\x04name"), []byte{1, 4, 1, 0, 1, 0xff}),             // a name that is no UTF-8
		section(0, []byte("\x04name"), []byte{2, 0x7f}),                         // a subsection that runs past the end
		section(0, []byte("\x0c.debug_lines"), bytes.Repeat([]byte("x"), 1000)), // what no one reads
	} {
		_, err := sandbox.Load(context.Background(), module(names), sandbox.Options{Limits: testLimits(), Logger: quiet()})
		var fault *sandbox.Fault
		if !errors.As(err, &fault) || !strings.Contains(fault.Cause, "lacks the marker export") {
			t.Errorf("%.20q: got %v, want the fault of a module that is sound but empty", names, err)
		}
	}
}
