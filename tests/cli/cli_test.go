package cli

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/tests/harness"
)

// patience is how long `eventually` waits, and how long a server may take to be ready or a program to end.
const patience = time.Minute

var update = flag.Bool("update", false, "rewrite what scripts compare with")

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "scripts",
		Setup:              setup(programs(t), configs(t)),
		Cmds:               commands(),
		Condition:          condition,
		RequireUniqueNames: true,
		UpdateScripts:      *update,
	})
}

// programs makes a directory with the programs that scripts run.
func programs(t *testing.T) string {
	t.Helper()
	gatehouse, err := harness.Binary(t.Context(), harness.Plain)
	if err != nil {
		t.Fatal(err)
	}
	kubectl, err := harness.Kubectl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, file := range map[string]string{"gatehouse": gatehouse, "kubectl": kubectl} {
		if err := os.Symlink(file, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// configs is the directory of the example configurations.
func configs(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../configs")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// setup gives a script its programs, the example configurations, and an environment in which nothing of the machine's own
// configuration is found.
func setup(programs, configs string) func(*testscript.Env) error {
	return func(env *testscript.Env) error {
		s := &script{
			binary:     filepath.Join(programs, "gatehouse"),
			dataDir:    filepath.Join(env.WorkDir, "data"),
			background: map[string]*background{},
		}
		env.Values[scriptKey{}] = s
		env.Setenv("PATH", programs+string(os.PathListSeparator)+env.Getenv("PATH"))
		env.Setenv("HOME", env.WorkDir)
		env.Setenv("CONFIGS", configs)
		env.Setenv("DATA", s.dataDir)
		env.Setenv("KUBECONFIG", filepath.Join(s.dataDir, "admin.kubeconfig"))
		env.Setenv("KUBECTL_KUBERC", "false")
		t, ok := env.T().(testing.TB)
		if !ok {
			return errors.New("scripts must be run by testscript.Run")
		}
		env.Defer(func() { s.finish(t) })
		return nil
	}
}
