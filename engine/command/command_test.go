package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"gatehouse/engine/pki"
	"gatehouse/engine/version"
)

// result is what a run of gatehouse left.
type result struct {
	code           int
	stdout, stderr string
}

// gatehouse runs a command that ends by itself.
func gatehouse(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Program{Args: args, Stdout: &stdout, Stderr: &stderr}.Run(t.Context())
	return result{code, stdout.String(), stderr.String()}
}

func (r result) want(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code is %d, want %d", r.code, code)
	}
	if !strings.Contains(r.stdout, stdout) || (stdout == "") != (r.stdout == "") {
		t.Errorf("standard output is\n%s\nwant\n%s", r.stdout, stdout)
	}
	if !strings.Contains(r.stderr, stderr) || (stderr == "") != (r.stderr == "") {
		t.Errorf("standard error is\n%s\nwant\n%s", r.stderr, stderr)
	}
}

func TestCommandLinesThatCannotBeUnderstoodExitWithTwo(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		stderr string
	}{
		"an unknown command, with the nearest": {[]string{"srve"}, "gatehouse: unknown command \"srve\"; did you mean serve?\n"},
		"an unknown command like no other":     {[]string{"frobnicate"}, "unknown command \"frobnicate\"; `gatehouse help` lists"},
		"an unknown flag, with the nearest":    {[]string{"serve", "--datadir", "x"}, "unknown flag: --datadir; did you mean --data-dir?"},
		"an unknown flag like no other":        {[]string{"serve", "--qqqq"}, "unknown flag: --qqqq; see `gatehouse help serve`"},
		"a flag of another command":            {[]string{"kubeconfig", "--log-level", "info"}, "unknown flag: --log-level"},
		"a flag without its value":             {[]string{"serve", "--listen"}, "flag needs an argument: --listen; see `gatehouse help serve`"},
		"an argument":                          {[]string{"serve", "now"}, "serve takes no arguments, but there is \"now\""},
		"half a command":                       {[]string{"certificate"}, "unknown command \"certificate\"; there is `gatehouse certificate request`"},
		"half of several commands":             {[]string{"plugin"}, "unknown command \"plugin\"; `gatehouse help plugin` lists those there are"},
		"half a command and a mistake":         {[]string{"certificate", "reqest", "a"}, "unknown command \"certificate reqest\"; did you mean certificate request?"},
		"help for an unknown command":          {[]string{"help", "versoin"}, "did you mean version?"},
		"a flag that glog would have":          {[]string{"serve", "--logtostderr"}, "unknown flag: --logtostderr"},
	} {
		t.Run(name, func(t *testing.T) { gatehouse(t, test.args...).want(t, exitUsage, "", test.stderr) })
	}
}

func TestMistakesInTheConfigurationExitWithOneALineEach(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(file, []byte("lisen: x\nlog: {levl: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"serve", "config", "kubeconfig"} {
		gatehouse(t, command, "--config", file).want(t, exitFailed, "",
			"gatehouse: "+file+":1: unknown key \"lisen\"; did you mean listen?\n"+
				"gatehouse: "+file+":2: unknown key \"log.levl\"; did you mean log.level?\n")
	}
	gatehouse(t, "serve", "--events-ttl", "soon").want(t, exitFailed, "",
		"gatehouse: --events-ttl: events.ttl is \"soon\", want a duration from 1m to 8760h, such as 90s or 5m\n")
}

func TestHelpNamesEveryCommandAndFlag(t *testing.T) {
	for _, args := range [][]string{nil, {"help"}, {"--help"}, {"-h"}} {
		overview := gatehouse(t, args...)
		overview.want(t, exitOK, "gatehouse serve\n", "")
		for _, c := range commands() {
			overview.want(t, exitOK, "  "+strings.Join(append([]string{c.name}, c.arguments...), " ")+" ", "")
			overview.want(t, exitOK, c.summary+"\n", "")
		}
	}
	for _, c := range commands() {
		words := strings.Fields(c.name)
		byName, byFlag := gatehouse(t, append([]string{"help"}, words...)...), gatehouse(t, append(words, "--help")...)
		byName.want(t, exitOK, "gatehouse "+strings.Join(append(words, c.arguments...), " ")+": "+c.summary+"\n", "")
		if byName != byFlag {
			t.Errorf("help %s differs from %s --help", c.name, c.name)
		}
	}
	family := gatehouse(t, "help", "plugin")
	family.want(t, exitOK, "  plugin sign FILE.wasm ", "")
	if strings.Contains(family.stdout, "gatehouse serve") {
		t.Errorf("help plugin tells of other commands, too:\n%s", family.stdout)
	}
	gatehouse(t, "help", "serve").want(t, exitOK, "--storage-compaction-retention DURATION", "")
	gatehouse(t, "help", "serve").want(t, exitOK, "(default 127.0.0.1:6443)", "")
	gatehouse(t, "help", "kubeconfig").want(t, exitOK, "--server URL", "")
}

func TestVersionNamesBothVersions(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		gatehouse(t, args...).want(t, exitOK, version.ReadBuild().String()+"\nKubernetes "+version.Kubernetes+"\n", "")
	}
}

func TestConfigPrintsWhatServeWouldUse(t *testing.T) {
	printed := gatehouse(t, "config", "--listen", ":7443", "--plugins", "/opt/gates")
	printed.want(t, exitOK, "\nlisten: :7443\n", "")
	printed.want(t, exitOK, "\n  dir: /opt/gates\n", "")
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(file, []byte(printed.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := gatehouse(t, "config", "--config", file); again != printed {
		t.Errorf("its own output gives\n%s%s\nwant\n%s", again.stdout, again.stderr, printed.stdout)
	}
}

func TestKubeconfigPrintsTheAdmins(t *testing.T) {
	dir := t.TempDir()
	gatehouse(t, "kubeconfig", "--data-dir", dir).want(t, exitFailed, "",
		"there is no "+pki.AdminKubeconfigPath(dir)+"; start the server with `gatehouse serve`")

	_, err := pki.Ensure(pki.Request{DataDir: dir, ServerURL: "https://127.0.0.1:6443"})
	if err != nil {
		t.Fatal(err)
	}
	gatehouse(t, "kubeconfig", "--data-dir", dir, "--path").want(t, exitOK, pki.AdminKubeconfigPath(dir)+"\n", "")
	for args, want := range map[string]string{
		"":                                       "https://127.0.0.1:6443",
		"--server=https://edge.example.org:6443": "https://edge.example.org:6443",
	} {
		printed := gatehouse(t, append([]string{"kubeconfig", "--data-dir", dir}, strings.Fields(args)...)...)
		client, err := clientcmd.RESTConfigFromKubeConfig([]byte(printed.stdout))
		if err != nil {
			t.Fatal(err)
		}
		if client.Host != want || len(client.CertData) == 0 || len(client.CAData) == 0 {
			t.Errorf("the kubeconfig leads to %s, want %s with a certificate and an authority", client.Host, want)
		}
	}
	gatehouse(t, "kubeconfig", "--data-dir", dir, "--server", "edge:6443").want(t, exitUsage, "",
		`--server is "edge:6443", want a URL such as https://edge.example.org:6443`)
}
