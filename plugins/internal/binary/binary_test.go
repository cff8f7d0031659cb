package binary_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"

	"gatehouse/plugins/internal/binary"
	"gatehouse/plugins/internal/guesttest"
)

// borrower is (module (import "env" "memory" (memory 2 5)) (global (export "g") i32 (i32.const 7)) (data (i32.const 65536) "hi")), with
// a custom section called note before all others.
const borrower = "\x00asm\x01\x00\x00\x00" +
	"\x00\x08\x04notesay" +
	"\x02\x10\x01\x03env\x06memory\x02\x01\x02\x05" +
	"\x06\x06\x01\x7f\x00\x41\x07\x0b" +
	"\x07\x05\x01\x01g\x03\x00" +
	"\x0b\x0a\x01\x00\x41\x80\x80\x04\x0b\x02hi"

func TestAnOutlineTellsWhatThereIs(t *testing.T) {
	m, err := binary.Read([]byte(borrower))
	if err != nil {
		t.Fatal(err)
	}
	want := []binary.Import{{Module: "env", Name: "memory", Kind: binary.Memory, Type: []byte{1, 2, 5}}}
	if diff := cmp.Diff(want, m.Imports); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
	if note, ok := m.Custom("note"); !ok || string(note) != "say" {
		t.Errorf("the custom section is %q, %t", note, ok)
	}
	if _, ok := m.Custom("other"); ok || !m.Exported(binary.Global, "g") || m.Exported(binary.Memory, "g") || !m.ImportsFrom("env") {
		t.Errorf("finds what there is not, or not what there is: %+v", m)
	}
}

func TestABorrowedMemoryBecomesTheModulesOwn(t *testing.T) {
	owner, err := binary.OwnMemory([]byte(borrower), "memory")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	runtime := wazero.NewRuntime(ctx)
	defer runtime.Close(ctx)
	guest, err := runtime.Instantiate(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	text, ok := guest.Memory().Read(65536, 2)
	if !ok || string(text) != "hi" || guest.Memory().Size() != 2*65536 {
		t.Errorf("the memory has %d bytes, with %q in it", guest.Memory().Size(), text)
	}
	if _, ok := guest.Memory().Grow(4); ok {
		t.Error("the memory grows beyond its limit")
	}
	if guest.ExportedMemory("memory") == nil || guest.ExportedGlobal("g").Get() != 7 {
		t.Error("the exports are not those of before and the memory")
	}
	again, err := binary.OwnMemory(owner, "memory")
	if err != nil || !cmp.Equal(owner, again) {
		t.Errorf("a module with a memory of its own changes: %v", err)
	}
}

func TestASectionTakesThePlaceOfThoseOfItsName(t *testing.T) {
	twice := borrower + "\x00\x07\x04noteit" + "\x00\x05\x03notx"
	m, err := binary.Read([]byte(twice))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]byte{[]byte("say"), []byte("it")}, m.CustomAll("note")); diff != "" {
		t.Errorf("sections (-want +got):\n%s", diff)
	}
	changed, err := binary.SetCustom([]byte(twice), "note", []byte("new"))
	if err != nil {
		t.Fatal(err)
	}
	before, after := len("\x00\x08\x04notesay"), "\x00\x05\x03notx"+"\x00\x08\x04notenew"
	if want := borrower[:8] + borrower[8+before:] + after; string(changed) != want {
		t.Errorf("got %q\nwant %q", changed, want)
	}
	if _, err := binary.SetCustom([]byte("#!/bin/sh"), "note", nil); err == nil {
		t.Error("what is no module got a section")
	}
}

func TestDamagedModulesAreErrors(t *testing.T) {
	for _, test := range []struct{ name, wasm string }{
		{"no module", "#!/bin/sh"},
		{"another version", "\x00asm\x0d\x00\x01\x00"},
		{"a section longer than the file", "\x00asm\x01\x00\x00\x00\x07\x7f\x01"},
		{"more exports than bytes", "\x00asm\x01\x00\x00\x00\x07\x05\xff\xff\xff\xff\x0f"},
		{"a number without an end", "\x00asm\x01\x00\x00\x00\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
		{"an import of no kind", "\x00asm\x01\x00\x00\x00\x02\x06\x01\x01a\x01b\x09"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := binary.Read([]byte(test.wasm)); err == nil {
				t.Error("read without an error")
			}
		})
	}
}

// FuzzOwnMemory reads whatever it is given, and what comes of it must be as good as it was.
func FuzzOwnMemory(f *testing.F) {
	f.Add([]byte(borrower))
	fixtures, err := filepath.Glob(filepath.Join(guesttest.Dir(), "*.wasm"))
	if err != nil || len(fixtures) == 0 {
		f.Fatalf("no fixtures found: %v", err)
	}
	for _, file := range fixtures {
		wasm, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wasm)
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		before := string(wasm)
		owner, err := binary.OwnMemory(wasm, "memory")
		if string(wasm) != before {
			t.Fatal("the module itself has been changed")
		}
		if err != nil {
			return
		}
		if _, err := binary.Read(owner); err != nil {
			t.Fatalf("what came of a readable module is not: %v", err)
		}
	})
}
