package plugins_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"gatehouse/plugins"
	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/plugintest"
	"gatehouse/plugins/signature"
)

// sign makes a key and its signature of a module.
func sign(t *testing.T, module string) (signature.PublicKey, string) {
	t.Helper()
	key, err := signature.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s, err := key.Sign([]byte(module), "file:p.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return key.Public(), string(s.File())
}

func TestOnlyModulesThatAreVouchedForServe(t *testing.T) {
	allow := module(t, "allow")
	key, signed := sign(t, allow)
	another, signedByAnother := sign(t, allow)
	pin := fmt.Sprintf("sha256: %X\n", sha256.Sum256([]byte(allow)))
	required := []signature.PublicKey{key}
	cases := map[string]struct {
		yaml, signature string
		keys            []signature.PublicKey
		want            string // of the fault; empty when the module serves
	}{
		"nobody has to":                         {},
		"a hash that it has":                    {yaml: pin},
		"a hash that it has not":                {yaml: fmt.Sprintf("sha256: %x\n", sha256.Sum256(nil)), want: "sha256: p.wasm has " + strings.ToLower(pin[8:20])},
		"a hash that is none":                   {yaml: "sha256: abc\n", want: `p.yaml: sha256: "abc" is not 64 digits`},
		"a signature that the server wants":     {signature: signed, keys: required},
		"either key of the server":              {signature: signedByAnother, keys: []signature.PublicKey{key, another}},
		"a signature that is missing":           {keys: required, want: "p.wasm.minisig is missing, for modules must be signed here"},
		"a signature that is none":              {signature: "x", keys: required, want: "p.wasm.minisig is no signature of minisign: it has 1 lines, want 4"},
		"another's signature":                   {signature: signedByAnother, keys: required, want: "it is signed with the key " + another.ID().String() + ", want one of " + key.ID().String()},
		"a signature that name.yaml wants":      {yaml: "publicKey: " + key.String(), signature: signed},
		"a signature name.yaml does not get":    {yaml: "publicKey: " + another.String(), signature: signed, want: "(publicKey in p.yaml)"},
		"what name.yaml wants cannot be enough": {yaml: "publicKey: " + another.String(), signature: signedByAnother, keys: required, want: "(plugins.publicKeys of the server)"},
		"a key in name.yaml that is none":       {yaml: "publicKey: abc", want: "p.yaml: publicKey: is no public key of minisign"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			content := files{"p.wasm": allow}
			if c.yaml != "" {
				content["p.yaml"] = c.yaml
			}
			if c.signature != "" {
				content["p.wasm.minisig"] = c.signature
			}
			h := open(t, content, func(o *plugins.Options) { o.PublicKeys = c.keys })
			fate := plugintest.Fate(plugintest.Admit(t.Context(), h.Set, plugintest.Create(plugintest.Pod(nil))))
			switch {
			case c.want == "" && fate != "allowed":
				t.Error(fate)
			case c.want != "" && !(strings.HasPrefix(fate, "500 ") && strings.Contains(fate, c.want)):
				t.Errorf("got %s\nwant a denial with %q", fate, c.want)
			}
		})
	}
}

func TestASignatureThatComesLaterLetsTheModuleServe(t *testing.T) {
	allow := module(t, "allow")
	key, signed := sign(t, allow)
	h := open(t, files{"p.wasm": allow}, func(o *plugins.Options) { o.PublicKeys = []signature.PublicKey{key} })
	if got := h.List()[0].State; got != plugins.Broken {
		t.Fatalf("without its signature it is %s", got)
	}
	h.write(files{"p.wasm.minisig": signed})
	if err := h.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.List()[0]; got.State != plugins.Serving {
		t.Fatalf("with its signature it is %s: %v", got.State, got.Fault)
	}
	h.write(files{"p.wasm": string(guesttest.Allow(t, 'b'))})
	if err := h.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.List()[0]; got.State != plugins.Stale || !strings.Contains(got.Fault.Error(), "the file or the signature was changed") {
		t.Fatalf("with another module under the same signature it is %s: %v", got.State, got.Fault)
	}
}

func module(t *testing.T, name string) string { return string(guesttest.Read(t, name)) }
