package signature

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// quick is a derivation that tests can wait for.
var quick = Derivation{Operations: 32768, Memory: 1 << 20}

const password = "secret"

func read(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name)) // made by minisign 0.11
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func publicKey(t testing.TB, name string) PublicKey {
	t.Helper()
	key, err := ParsePublicKey(read(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parse(t testing.TB, name string) *Signature {
	t.Helper()
	s, err := Parse(read(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatMinisignSignsIsVerified(t *testing.T) {
	key := publicKey(t, "plain.pub")
	if got, want := key.ID().String(), "F0C31721F44E0DBA"; got != want {
		t.Errorf("the key's ID is %s, want %s", got, want)
	}
	for file, comment := range map[string]string{"ed.minisig": "a trusted comment", "legacy.minisig": "older"} {
		s := parse(t, file)
		if err := s.Verify(read(t, "message"), publicKey(t, "enc.pub"), key); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if s.Comment() != comment {
			t.Errorf("%s: the comment is %q, want %q", file, s.Comment(), comment)
		}
		if !bytes.Equal(s.File(), read(t, file)) {
			t.Errorf("%s is written as\n%s", file, s.File())
		}
	}
	if !bytes.Equal(key.File(), read(t, "plain.pub")) {
		t.Errorf("the public key is written as\n%s", key.File())
	}
	if again, err := ParsePublicKey([]byte(key.String())); err != nil || again != key {
		t.Errorf("the key in one line is read as %v, %v", again, err)
	}
}

func TestAnythingChangedIsFoundOut(t *testing.T) {
	message, key := read(t, "message"), publicKey(t, "plain.pub")
	impostor, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	sameID := impostor.Public()
	sameID.id = key.id
	cases := map[string]struct {
		change  func(s *Signature)
		message []byte
		key     PublicKey
		want    string
	}{
		"another message":                  {message: append(bytes.Clone(message), '\n'), key: key, want: "wrong"},
		"another signature":                {change: func(s *Signature) { s.signature[5] ^= 1 }, key: key, want: "wrong"},
		"another way to sign":              {change: func(s *Signature) { s.prehashed = !s.prehashed }, key: key, want: "wrong"},
		"another comment":                  {change: func(s *Signature) { s.comment += "!" }, key: key, want: "comment"},
		"another signature of the comment": {change: func(s *Signature) { s.global[0] ^= 1 }, key: key, want: "comment"},
		"another key":                      {key: publicKey(t, "enc.pub"), want: "signed with the key F0C31721F44E0DBA, want one of BB5F1DB1042F4AC0"},
		"another key with the same ID":     {key: sameID, want: "wrong"},
	}
	for name, c := range cases {
		for _, file := range []string{"ed.minisig", "legacy.minisig"} {
			s := parse(t, file)
			if c.change != nil {
				c.change(s)
			}
			content := message
			if c.message != nil {
				content = c.message
			}
			if err := s.Verify(content, c.key); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s: %v, want an error with %q", file, name, err, c.want)
			}
		}
	}
}

func TestWithoutAKeyNothingIsVerified(t *testing.T) {
	if err := parse(t, "ed.minisig").Verify(read(t, "message")); err == nil {
		t.Error("verified with no key at all")
	}
}

func TestSecretKeysOfMinisignSignTheSame(t *testing.T) {
	key, err := ParseSecretKey(read(t, "plain.key"), "not looked at")
	if err != nil {
		t.Fatal(err)
	}
	s, err := key.Sign(read(t, "message"), "a trusted comment")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.File(), read(t, "ed.minisig")) { // Ed25519 leaves nothing to chance
		t.Errorf("signed as\n%s", s.File())
	}
	file, err := key.File("", quick)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, read(t, "plain.key")) {
		t.Error("the secret key is written in another way than by minisign")
	}
	if _, err := key.Sign(nil, "two\nlines"); err == nil {
		t.Error("signed a comment of two lines, which nobody could read")
	}
}

func TestAnEncryptedKeyOfMinisignOpensWithItsPassword(t *testing.T) {
	if testing.Short() {
		t.Skip("minisign's derivation takes a GiB of memory")
	}
	key, err := ParseSecretKey(read(t, "enc.key"), password)
	if err != nil {
		t.Fatal(err)
	}
	if key.Public() != publicKey(t, "enc.pub") {
		t.Errorf("the public half is %s", key.Public())
	}
}

func TestEncryptedKeysOpenWithTheirPasswordAlone(t *testing.T) {
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	file, err := key.File(password, quick)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := ParseSecretKey(file, password)
	if err != nil || opened.Public() != key.Public() || !opened.key.Equal(key.key) {
		t.Errorf("opened as %v, %v", opened.Public(), err)
	}
	for _, wrong := range []string{"", "Secret"} {
		if _, err := ParseSecretKey(file, wrong); !errors.Is(err, ErrPassword) {
			t.Errorf("with the password %q: %v", wrong, err)
		}
	}
}

func TestMinisignVerifiesWhatWeSign(t *testing.T) {
	minisign, err := exec.LookPath("minisign")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no minisign: apt-get install minisign")
	}
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	message := read(t, "message")
	s, err := key.Sign(message, "from us")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"m": message, "m.minisig": s.File(), "pub": key.Public().File()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(minisign, "-VQ", "-m", filepath.Join(dir, "m"), "-p", filepath.Join(dir, "pub")).CombinedOutput()
	if err != nil || string(out) != "from us\n" {
		t.Errorf("minisign says %q, %v", out, err)
	}
}

func TestDerivationsAreLibsodiums(t *testing.T) {
	for d, want := range map[Derivation][3]int{
		StrongDerivation():                     {1 << 20, 8, 1},
		{Operations: 524288, Memory: 16 << 20}: {1 << 14, 8, 1}, // libsodium's "interactive"
		{Operations: 1 << 15, Memory: 1 << 30}: {1 << 10, 8, 1},
		{Operations: 0, Memory: 0}:             {2, 8, 512},
	} {
		n, r, p, err := d.parameters()
		if got := [3]int{n, r, p}; got != want || err != nil {
			t.Errorf("%+v is %v, %v, want %v", d, got, err, want)
		}
	}
	for _, d := range []Derivation{{Operations: 1 << 40}, {Memory: 1 << 40}, {Operations: 1 << 30}} {
		if _, _, _, err := d.parameters(); err == nil {
			t.Errorf("%+v is accepted", d)
		}
	}
}

func TestWhatIsNoneOfThemIsRefused(t *testing.T) {
	ed, pub := string(read(t, "ed.minisig")), string(read(t, "plain.pub"))
	line := func(text string, n int) string { return strings.Split(text, "\n")[n] }
	for name, text := range map[string]string{
		"nothing":              "",
		"no comment":           "RUS\n" + ed,
		"a line less":          strings.Join(strings.Split(ed, "\n")[:3], "\n"),
		"a line more":          ed + "more\n",
		"too long":             ed + strings.Repeat("x", maxText),
		"a broken line":        strings.Replace(ed, line(ed, 1), line(ed, 1)[:20]+"*", 1),
		"another algorithm":    strings.Replace(ed, "RUS6", "RXS6", 1),
		"an untrusted comment": strings.Replace(ed, "\ntrusted comment:", "\ncomment:", 1),
		"a short last line":    strings.Replace(ed, line(ed, 3), "AAAA", 1),
		"a public key":         pub,
	} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is read as a signature", name)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "a signature": ed, "two keys": pub + pub, "base64 of other size": "AAAA", "another algorithm": strings.Replace(pub, "RWS6", "RUS6", 1),
	} {
		if _, err := ParsePublicKey([]byte(text)); err == nil {
			t.Errorf("%s is read as a public key", name)
		}
		if _, err := ParseSecretKey([]byte(text), ""); err == nil {
			t.Errorf("%s is read as a secret key", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"ed.minisig", "legacy.minisig", "plain.pub"} {
		f.Add(read(f, name))
	}
	key := publicKey(f, "plain.pub")
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.File())
		if err != nil || *again != *s {
			t.Errorf("written and read it is %+v, %v, was %+v", again, err, s)
		}
		if s.Verify([]byte("a message that nobody signed"), key) == nil {
			t.Error("a signature for what nobody signed")
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	for _, name := range []string{"plain.pub", "plain.key", "ed.minisig"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := ParsePublicKey(text); err == nil {
			if again, err := ParsePublicKey(key.File()); err != nil || again != key {
				t.Errorf("written and read it is %v, %v, was %v", again, err, key)
			}
		}
		if strings.Contains(string(text), "RWRTY") {
			return // a derivation as hard as it asks for
		}
		if key, err := ParseSecretKey(text, ""); err == nil {
			if again, err := key.File("", quick); err != nil || len(again) == 0 {
				t.Errorf("cannot be written: %v", err)
			}
		}
	})
}
