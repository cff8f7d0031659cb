package plugins

import (
	"bytes"
	"os"
	"testing"

	"gatehouse/plugins/sandbox"
)

func TestRolesAreReadFromTheExportsOfWhatMayBeHalfAModule(t *testing.T) {
	both := roleBit(sandbox.Authorize) | roleBit(sandbox.Admit)
	for file, want := range map[string]roleSet{
		"two-roles": both, "allow": roleBit(sandbox.Admit), "says": roleBit(sandbox.Authenticate) | roleBit(sandbox.Authorize), "no-role": 0,
	} {
		wasm, err := os.ReadFile("testdata/" + file + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		got, err := exportedRoles(bytes.NewReader(wasm))
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", file, got.list(), err, want.list())
		}
		code := bytes.LastIndex(wasm, []byte{0x0b}) // the last function ends the code, which comes after the exports
		if got, err := exportedRoles(bytes.NewReader(wasm[:code])); err != nil || got != want {
			t.Errorf("%s without its end: got %v, %v; want %v", file, got.list(), err, want.list())
		}
	}
}

func TestPoliciesOfOthersAreAboutAdmission(t *testing.T) {
	for name, want := range map[string]roleSet{"_start": roleBit(sandbox.Admit), "__guest_call": roleBit(sandbox.Admit), "_stop": 0} {
		export := append([]byte{1, byte(len(name))}, name+"\x00\x00"...)
		wasm := append([]byte("\x00asm\x01\x00\x00\x00\x07"), byte(len(export)))
		if got, err := exportedRoles(bytes.NewReader(append(wasm, export...))); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", name, got.list(), err, want.list())
		}
	}
}

func FuzzExportedRoles(f *testing.F) {
	for _, file := range []string{"two-roles", "allow", "panic"} {
		wasm, err := os.ReadFile("testdata/" + file + ".wasm")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wasm)
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x07\xff\xff\xff\xff\x0f\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		set, err := exportedRoles(bytes.NewReader(wasm))
		if err != nil && set != 0 {
			t.Errorf("got %v and %v", set.list(), err)
		}
		if all := rolesOf(allRoles()); set&^all != 0 {
			t.Errorf("got roles that there are not: %b", set)
		}
	})
}
