package inspect

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/plugins/internal/guesttest"
)

func TestAModuleIsTakenApart(t *testing.T) {
	wasm := guesttest.Read(t, "script")
	producers := "\x01\x08language\x02\x02Go\x041.26\x03C11\x00"
	wasm = append(wasm, "\x00"+string(rune(len(producers)+10))+"\x09producers"+producers...)
	got, err := Read(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	want := &Module{
		ABI: "gatehouse_abi_v1", Language: "Go 1.26, C11", Memory: 4 << 16,
		Exports: []string{"admit (i32, i32) -> (i64)", "alloc (i32) -> (i32)", "configure (i32, i32) -> (i64)", "gatehouse_abi_v1 () -> ()"},
		Imports: []string{"gatehouse.field (i32, i32, i32, i32) -> (i64)"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheNewestABICounts(t *testing.T) {
	for _, test := range []struct{ known, export, want string }{
		{"", "gatehouse_abi_v1", "gatehouse_abi_v1"}, {"gatehouse_abi_v2", "gatehouse_abi_v1", "gatehouse_abi_v2"},
		{"gatehouse_abi_v9", "gatehouse_abi_v10", "gatehouse_abi_v10"}, {"Rego", "gatehouse_abi_v1", "gatehouse_abi_v1"},
		{"", "opa_eval", "Rego"}, {"", "__guest_call", "waPC"}, {"gatehouse_abi_v1", "opa_eval", "gatehouse_abi_v1"}, {"", "main", ""},
	} {
		if got := newerABI(test.known, test.export); got != test.want {
			t.Errorf("%q and then %q is %q, want %q", test.known, test.export, got, test.want)
		}
	}
}

func TestWhatIsNoModuleIsAnError(t *testing.T) {
	for name, wasm := range map[string][]byte{"nothing": nil, "text": []byte("hello")} {
		if _, err := Read(t.Context(), wasm); err == nil {
			t.Errorf("%s is read as a module", name)
		}
	}
}

func FuzzLanguage(f *testing.F) {
	f.Add([]byte("\x01\x08language\x02\x02Go\x041.26\x03C11\x00"))
	f.Add([]byte("\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(_ *testing.T, section []byte) { languageOf(section) })
}
