package sdk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"gatehouse/tests/harness"
)

// native compiles C for this machine, with what finds mistakes at run time, and returns the program's path. The compiler is the
// one that cgo needs, too.
func native(t *testing.T, patterns ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	args := strings.Fields("-std=c11 -g -O1 -Wall -Wextra -Wpedantic -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -o")
	args = append(args, program)
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources %s: %v", pattern, err)
		}
		args = append(args, files...)
	}
	if text, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("compile %v: %v\n%s", patterns, err, text)
	}
	return program
}

// run runs a program and returns what it prints. Memory that settings take is kept for good, which is no leak.
func run(t *testing.T, program string, input []byte) string {
	t.Helper()
	command := exec.Command(program)
	command.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0")
	command.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", program, err, output, &stderr)
	}
	return string(output)
}

func TestTheCSDKsOwnTestsPass(t *testing.T) {
	run(t, native(t, "c/*.c", "c/tests/fake.c", "c/tests/unit.c"), nil)
}

func TestThePluginInTheCSDKsReadmeCompiles(t *testing.T) {
	readme, err := os.ReadFile("c/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```c\n")
	code, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the README has no plugin")
	}
	compile := exec.Command("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-Ic", "-xc", "-")
	compile.Stdin = strings.NewReader(code)
	if text, err := compile.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestTheRustSDKsOwnTestsPass(t *testing.T) {
	_, err := harness.Cargo(t.Context(), "sdk/rust", "test")
	harness.SkipMissing(t, err)
}

func TestTheCSDKReadsAndWritesJSONAsGoDoes(t *testing.T) {
	documents := documents(t)
	compareRewritten(t, documents, run(t, native(t, "c/*.c", "c/tests/fake.c", "c/tests/rewrite.c"), framed(documents)))
}

func TestTheRustSDKReadsAndWritesJSONAsGoDoes(t *testing.T) {
	all, valid := documents(t), [][]byte{}
	for _, document := range all {
		if utf8.Valid(document) { // texts are UTF-8 in Rust
			valid = append(valid, document)
		}
	}
	_, err := harness.Cargo(t.Context(), "sdk/rust", "build", "--example", "rewrite")
	harness.SkipMissing(t, err)
	input := filepath.Join(t.TempDir(), "documents")
	if err := os.WriteFile(input, framed(valid), 0o600); err != nil {
		t.Fatal(err)
	}
	rewritten, err := harness.Cargo(t.Context(), "sdk/rust", "run", "--example", "rewrite", "--", input)
	if err != nil {
		t.Fatal(err)
	}
	compareRewritten(t, valid, rewritten+"\n")
}

// documents are JSON, and what nearly is: as many of the one as of the other, and always the same.
func documents(t *testing.T) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	var documents [][]byte
	for _, text := range []string{
		``, ` `, `null`, ` 0 `, `-0`, `-1.5e+10`, `01`, `"\ud83d\udeaa"`, `"\ud83d"`, `"\udeaa\ud83d"`, `"\ud83d\u0041"`, `{"a":1,"a":2}`,
		`{"":{"":[]}}`, "\"\xff\xc0\xaf\xed\xa0\x80\"", "[1,\n\t2\r]", `{"\u0061":"\/\b\f\n\r\t"}`, `[1]]`, "\"\x00\"", "tru\x00", "\x00",
		"\"\\\x00\"", "[1\x00]",
	} {
		documents = append(documents, []byte(text))
	}
	for range 3000 {
		document, err := json.Marshal(value(random, 4))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, document, damaged(random, document))
	}
	return documents
}

// value is a random one, no deeper than that.
func value(r *rand.Rand, depth int) any {
	kinds := 8
	if depth == 0 {
		kinds = 5
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return r.Int64() >> r.IntN(64)
	case 3:
		return r.NormFloat64() * 1e10
	case 4:
		return text(r)
	case 5:
		object := map[string]any{}
		for range r.IntN(5) {
			object[text(r)] = value(r, depth-1)
		}
		return object
	default:
		list := []any{}
		for range r.IntN(5) {
			list = append(list, value(r, depth-1))
		}
		return list
	}
}

func text(r *rand.Rand) string {
	const alphabet = "ab\"\\/\n\t\x00\x1f\x7füß日🚪~%"
	var text strings.Builder
	for range r.IntN(8) {
		text.WriteRune([]rune(alphabet)[r.IntN(utf8.RuneCountInString(alphabet))])
	}
	return text.String()
}

// damaged changes, removes or adds a few bytes.
func damaged(r *rand.Rand, document []byte) []byte {
	const bytes = "{}[]\",:\\ue0-.1tfn \x00\xff"
	d := append([]byte(nil), document...)
	for range 1 + r.IntN(3) {
		at, b := r.IntN(len(d)+1), bytes[r.IntN(len(bytes))]
		switch {
		case at == len(d):
			d = append(d, b)
		case r.IntN(3) == 0:
			d = append(d[:at], d[at+1:]...)
		case r.IntN(2) == 0:
			d = append(d[:at], append([]byte{b}, d[at:]...)...)
		default:
			d[at] = b
		}
	}
	return d
}

// framed is what tests/rewrite.c reads.
func framed(documents [][]byte) []byte {
	var b bytes.Buffer
	for _, document := range documents {
		fmt.Fprintf(&b, "%d\n%s", len(document), document)
	}
	return b.Bytes()
}

// compareRewritten compares documents that an SDK has written anew with what Go makes of them.
func compareRewritten(t *testing.T, documents [][]byte, output string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(output, "\n"), "\n")
	if len(lines) != len(documents) {
		t.Fatalf("%d documents became %d lines", len(documents), len(lines))
	}
	valid := 0
	for i, document := range documents {
		want, ok := decoded(document)
		if !ok {
			if lines[i] != "invalid" {
				t.Errorf("%q is no JSON and became %s", document, lines[i])
			}
			continue
		}
		valid++
		got, ok := decoded([]byte(lines[i]))
		if !ok {
			t.Errorf("%q became %q, which is no JSON", document, lines[i])
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q became %s (-want +got):\n%s", document, lines[i], diff)
		}
	}
	if valid < len(documents)/3 || valid > len(documents)*9/10 {
		t.Errorf("%d of %d documents are JSON: there should be enough of both", valid, len(documents))
	}
}

// decoded is what Go makes of a document, with numbers as they are written.
func decoded(document []byte) (any, bool) {
	if !json.Valid(document) {
		return nil, false
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	return value, decoder.Decode(&value) == nil
}
