package examples_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/plugins"
	"gatehouse/plugins/sandbox"
	"gatehouse/tests/harness"
)

func TestAPIKey(t *testing.T) {
	keys := host(t, "api-key").Authentication(plugins.Selection{}, nil)
	const known = "an example, and no secret"
	for _, test := range []struct {
		name string
		keys []string
		want string
	}{
		{"who has no key is somebody else's concern", nil, "no opinion"},
		{"a known key is its user's", []string{known}, "ci [robots]"},
		{"an unknown key is wrong", []string{"guess"}, `authentication plugin "api-key": the X-Api-Key is not known`},
		{"an empty key is wrong", []string{""}, `authentication plugin "api-key": the X-Api-Key is not known`},
		{"half a key is wrong", []string{known[:12]}, `authentication plugin "api-key": the X-Api-Key is not known`},
		{"a long key is wrong", []string{strings.Repeat(known, 200)}, `authentication plugin "api-key": the X-Api-Key is not known`},
		{"two keys are wrong", []string{known, known}, `authentication plugin "api-key": there is more than one X-Api-Key`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "https://gatehouse.example.com/api", nil)
			for _, key := range test.keys {
				r.Header.Add("x-api-key", key)
			}
			response, ok, err := keys.AuthenticateRequest(r)
			got := "no opinion"
			switch {
			case err != nil:
				got = err.Error()
			case ok:
				got = fmt.Sprint(response.User.GetName(), " ", response.User.GetGroups())
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestAPIKeyRefusesSettingsThatAreWrong(t *testing.T) {
	wasm, _, err := harness.Example(t.Context(), "api-key")
	harness.SkipMissing(t, err)
	code, err := os.ReadFile(wasm)
	if err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("0f", 32)
	for _, test := range []struct{ name, settings, want string }{
		{"no keys", `{}`, "keys: is no list"},
		{"keys of another type", `{keys: 3}`, "keys: is no list"},
		{"an unknown setting", `{keys: [], key: x}`, "unknown setting: key"},
		{"a key that is no object", `{keys: [x]}`, "keys[0]: sha256 is missing"},
		{"a key without digest", `{keys: [{user: ci}]}`, "keys[0]: sha256 is missing"},
		{"a digest that is too short", `{keys: [{sha256: abcd, user: ci}]}`, "keys[0]: sha256 is not 64 digits of 0-9 and a-f"},
		{"a digest of other characters", `{keys: [{sha256: ` + strings.Repeat("0g", 32) + `, user: ci}]}`, "keys[0]: sha256 is not 64 digits of 0-9 and a-f"},
		{"a second key without user", `{keys: [{sha256: ` + digest + `, user: a}, {sha256: ` + digest + `}]}`, "keys[1]: user is missing"},
		{"a user that is no text", `{keys: [{sha256: ` + digest + `, user: 3}]}`, "keys[0]: user is no text"},
		{"groups that are no list", `{keys: [{sha256: ` + digest + `, user: a, groups: b}]}`, "keys[0]: groups is no list of texts"},
		{"groups that are no texts", `{keys: [{sha256: ` + digest + `, user: a, groups: [1]}]}`, "keys[0]: groups is no list of texts"},
		{"an unknown member", `{keys: [{sha256: ` + digest + `, user: a, name: b}]}`, "keys[0]: only sha256, user and groups are known"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string][]byte{"keys.wasm": code, "keys.yaml": []byte("settings: " + test.settings)} {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			set, err := plugins.Open(t.Context(), plugins.Options{Dir: dir, LoadWait: time.Minute, Logger: slog.New(slog.DiscardHandler),
				Limits: sandbox.Limits{Deadline: time.Minute, Start: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			if err := set.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(set.List()[0].Fault)
			if !strings.HasSuffix(got, "refuses its settings: "+test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestTheDigestOfAPIKeyIsSHA256(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sha256_test")
	flags := strings.Fields("-std=c11 -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -o")
	compile := exec.Command("cc", append(flags, program, "api-key/sha256.c", "api-key/sha256_test.c")...)
	if text, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, text)
	}
	if text, err := exec.Command(program).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
