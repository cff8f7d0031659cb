package command

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse/plugins/signature"
)

// plugin puts a guest of plugins/testdata and what goes with it into a folder of its own, and returns the module's path.
func plugin(t *testing.T, guest string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	module, err := os.ReadFile(filepath.Join("..", "..", "plugins", "testdata", guest+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, guest+".wasm")
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	allowCase = `
- name: NAME
  review:
    apiVersion: admission.k8s.io/v1
    kind: AdmissionReview
    request: {object: {apiVersion: v1, kind: Pod, metadata: {name: web}}}
  want: {decision: DECISION, warnings: [build-a]}
`
	tested = "pass  a Pod is welcome ("
)

func caseOf(name, decision string) string {
	return strings.NewReplacer("NAME", name, "DECISION", decision).Replace(allowCase)
}

func TestPluginTestPrintsWhatPassesAndFailsWhenAnythingDoesNot(t *testing.T) {
	path := plugin(t, "allow", map[string]string{
		"cases.yaml": caseOf("a Pod is welcome", "allowed"),
		"other.yaml": caseOf("a Pod is welcome", "allowed") + caseOf("a Pod is not", "denied"),
		"wrong.yaml": "- {name: x}\n",
	})
	got := gatehouse(t, "plugin", "test", path)
	got.want(t, exitOK, tested, "")
	got.want(t, exitOK, "all 1 cases passed\n", "")
	dir := filepath.Dir(path)
	got = gatehouse(t, "plugin", "test", path, "--cases", filepath.Join(dir, "other.yaml"))
	got.want(t, exitFailed, tested, "gatehouse: 1 of 2 cases failed\n")
	got.want(t, exitFailed, "      decision: allowed, want denied\n", "gatehouse: ")
	wrong := filepath.Join(dir, "wrong.yaml")
	gatehouse(t, "plugin", "test", path, "--cases", wrong).want(t, exitFailed, "", wrong+": case 1 (x): want.decision: \"\" is none of")
	gatehouse(t, "plugin", "test", wrong).want(t, exitFailed, "", "its name does not end in .wasm")
}

func TestPluginInspectShowsWhatAPluginIsMadeOf(t *testing.T) {
	path := plugin(t, "says", map[string]string{"says.yaml": "roles: [authorize]\nlimits: {deadline: 50ms}\n"})
	got := gatehouse(t, "plugin", "inspect", path)
	for _, want := range []string{
		`(?m)^plugin +says$`, `(?m)^abi +gatehouse_abi_v1$`, `(?m)^roles +authorize$`, `(?m)^memory +262144 bytes at the start$`,
		`(?m)^sha256 +[0-9a-f]{64}$`, `(?m)^signature +-$`, `(?m)^exports:\n  alloc \(i32\) -> \(i32\)$`, `(?m)^    deadline: 50ms$`,
		`(?m)^    memory: 64Mi$`, `(?m)^    start: 5s$`, `(?m)^  failurePolicy: Fail$`, `(?m)^  roles:\n  - authorize$`,
	} {
		if got.code != exitOK || !regexp.MustCompile(want).MatchString(got.stdout) {
			t.Errorf("there is no %s in\n%s%s", want, got.stdout, got.stderr)
		}
	}
}

// author appends to a module, which is where path says, the section in which its author says text, of less than 100 bytes.
func author(t *testing.T, path, text string) {
	t.Helper()
	module, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body := "\x13gatehouse_plugin_v1" + text
	module = append(append(module, 0, byte(len(body))), body...)
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPluginInspectShowsWhatTheAuthorSaysAndWants(t *testing.T) {
	path := plugin(t, "allow", map[string]string{"allow.yaml": "description: ours\ncapabilities: {cache: {}}\n"})
	author(t, path, "description: theirs\nadmission: {phases: [validate]}\nwants: {cache: {}, authz: {canI: true}}")
	got := gatehouse(t, "plugin", "inspect", path)
	for _, want := range []string{
		"\nauthor's defaults, from the section gatehouse_plugin_v1:\n  admission:\n    phases:\n    - validate\n  description: theirs\n",
		"\nwants:\n  authz.canI (not granted)\n  cache (granted)\n",
		"\nconfiguration, complete:\n  admission:\n    matchPolicy: Equivalent\n    phases:\n    - validate\n    rules:\n", "\n  description: ours\n",
	} {
		got.want(t, exitOK, want, "")
	}
	path = plugin(t, "allow", nil)
	author(t, path, "limits: {instances: 9}")
	got = gatehouse(t, "plugin", "inspect", path)
	got.want(t, exitFailed, "exports:\n", "a server would not load "+path+": the module's section gatehouse_plugin_v1: limits: is the operator's to say")
	got.want(t, exitFailed, "\nconfiguration, complete:\n", "a server would not load ")
}

func TestPluginTestAsksAboutWhatTheAuthorSays(t *testing.T) {
	path := plugin(t, "allow", map[string]string{"cases.yaml": `
- name: NAME
  review:
    apiVersion: admission.k8s.io/v1
    kind: AdmissionReview
    request: {object: {apiVersion: v1, kind: Pod, metadata: {name: web}}}
  want: {decision: not asked}
`})
	author(t, path, "admission: {objectSelector: {matchLabels: {a: b}}}")
	gatehouse(t, "plugin", "test", path).want(t, exitOK, "all 1 cases passed\n", "")
}

func TestPluginInspectSaysWhatAServerWouldNotLoad(t *testing.T) {
	gatehouse(t, "plugin", "inspect", plugin(t, "no-role", nil)).want(t, exitFailed, "exports:\n", "a server would not load")
	gatehouse(t, "plugin", "inspect", plugin(t, "allow", map[string]string{"allow.yaml": "sha256: " + strings.Repeat("a", 64)})).
		want(t, exitFailed, "exports:\n", "allow.wasm has ")
	gatehouse(t, "plugin", "inspect", plugin(t, "allow", map[string]string{"allow.yaml": "rolls: []"})).
		want(t, exitFailed, "", `gatehouse: allow.yaml: unknown field "rolls"`)
	text := plugin(t, "allow", map[string]string{"text.wasm": "text"})
	gatehouse(t, "plugin", "inspect", filepath.Join(filepath.Dir(text), "text.wasm")).want(t, exitFailed, "", "text.wasm is no WebAssembly module")
}

func TestPluginSignSignsWithAKeyThatIsThereOrMade(t *testing.T) {
	path := plugin(t, "allow", nil)
	key := filepath.Join(filepath.Dir(path), "plugins.key")
	gatehouse(t, "plugin", "sign", path).want(t, exitUsage, "", "say with --key")
	gatehouse(t, "plugin", "sign", path, "--key", key).want(t, exitFailed, "", "there is no secret key "+key+"; --generate makes one")
	gatehouse(t, "plugin", "sign", path, "--key", key, "--generate").want(t, exitOK, "signed "+path+" in "+path+".minisig", "")
	gatehouse(t, "plugin", "sign", path, "--key", key, "--generate").want(t, exitFailed, "", key+" exists")
	gatehouse(t, "plugin", "sign", path, "--key", key, "--comment", "version 2").want(t, exitOK, "its public key is\nRW", "")
	gatehouse(t, "plugin", "sign", path, "--key", path).want(t, exitFailed, "", path+" is no secret key of minisign")
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret key's mode is %v, %v", info.Mode(), err)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := signature.ParsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	yaml := filepath.Join(filepath.Dir(path), "allow.yaml")
	if err := os.WriteFile(yaml, []byte("publicKey: "+wanted.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	gatehouse(t, "plugin", "inspect", path).want(t, exitOK, "by the key "+wanted.ID().String()+`, saying "version 2"`, "")
}

func TestPluginSignSaysThatAPasswordIsWrong(t *testing.T) {
	path := plugin(t, "allow", map[string]string{"password": "open sesame\n", "wrong": "sesame\n", "empty": "\n"})
	dir := filepath.Dir(path)
	key, err := signature.Generate()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.File("open sesame", signature.Derivation{Operations: 32768, Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	gatehouse(t, "plugin", "sign", path, "--key", file, "--password-file", filepath.Join(dir, "wrong")).
		want(t, exitFailed, "", "encrypted with another password; --password-file names")
	gatehouse(t, "plugin", "sign", path, "--key", file).want(t, exitFailed, "", "encrypted with another password")
	gatehouse(t, "plugin", "sign", path, "--key", file, "--password-file", filepath.Join(dir, "empty")).want(t, exitFailed, "", "is empty")
	gatehouse(t, "plugin", "sign", path, "--key", file, "--password-file", filepath.Join(dir, "password")).
		want(t, exitOK, key.Public().String(), "")
}

func TestPluginNewMakesWhatPluginBuildBuilds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "who-owns")
	gatehouse(t, "plugin", "new", dir).want(t, exitOK, "  gatehouse plugin test "+filepath.Join(dir, "who-owns.wasm"), "")
	gatehouse(t, "plugin", "new", dir).want(t, exitFailed, "", dir+" is not empty")
	gatehouse(t, "plugin", "build", dir).want(t, exitOK, "built "+filepath.Join(dir, "who-owns.wasm"), "")
	gatehouse(t, "plugin", "test", filepath.Join(dir, "who-owns.wasm")).want(t, exitOK, "all 4 cases passed", "")
	gatehouse(t, "plugin", "new", dir+"-key", "--role", "authenticate").want(t, exitOK, "made ", "")
	gatehouse(t, "plugin", "build", dir+"-key").want(t, exitOK, "built ", "")
	gatehouse(t, "plugin", "test", filepath.Join(dir+"-key", "who-owns-key.wasm")).want(t, exitOK, "all 5 cases passed", "")
	gatehouse(t, "plugin", "new", dir+"-too", "--role", "judge").want(t, exitFailed, "", `the role is "judge"`)
	gatehouse(t, "plugin", "new", dir+"-too", "--language", "cobol").want(t, exitFailed, "", `the language is "cobol"`)
	gatehouse(t, "plugin", "build", t.TempDir()).want(t, exitFailed, "", "is no plugin")
}
