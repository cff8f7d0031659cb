package harness

import (
	"context"
	"os/exec"
	"testing"
)

// Component is a part of a cluster besides its API server.
type Component string

// The components that there are.
const (
	ControllerManager Component = "kube-controller-manager"
	Scheduler         Component = "kube-scheduler"
	// Kwok stands in for kubelets: nodes and pods without anything that runs.
	Kwok Component = "kwok"
)

// StartComponent runs a component with the environment of this process. When the test ends it is killed; its log is shown if
// the test failed, and fails the test if it holds what no program may print, such as a panic.
func StartComponent(t testing.TB, component Component, flags ...string) *Program {
	t.Helper()
	binary, err := Components(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, append([]string{string(component)}, flags...)...)
	command.Env = append(environ(), "HOME="+t.TempDir()) // which may hold settings
	p := &Program{}
	if err := p.launch(string(component), command); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.finish(t) })
	return p
}

// KwokStages are the rules for nodes and pods that kwok's users begin with, for its configuration file.
func KwokStages(ctx context.Context) (string, error) {
	binary, err := Components(ctx)
	if err != nil {
		return "", err
	}
	return command(ctx, "", nil, binary, "kwok-stages")
}
