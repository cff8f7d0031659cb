package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/tests/harness"
)

// firstCommand is what a new user types first, in a shell of its own.
const firstCommand = "go run . serve"

// TestTheReadmesCommandsWork types the lines of the README's first chapters into a shell, in a folder that has of the checkout
// what they name, beside a server that was started of this tree, on another port. `go run .` is that server's binary. A line
// that is said to be refused has to fail.
func TestTheReadmesCommandsWork(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl makes the keys and certificate requests; install it")
	}
	lines := commandLines(string(readme), "Start it", "Let somebody in", "Put up a gate")
	if len(lines) < 2 || lines[0] != firstCommand {
		t.Fatalf("the README should begin with %q, not with %q", firstCommand, lines)
	}
	dir := t.TempDir()
	for _, folder := range []string{"examples", "sdk"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join("..", "..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	server := harness.Start(t, harness.Options{DataDir: filepath.Join(dir, "data")})

	shell := exec.CommandContext(t.Context(), "sh", "-eux")
	shell.Dir = dir
	shell.Env = append(os.Environ(),
		"PATH="+programs(t)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"KUBECTL_KUBERC=false", "KUBECACHEDIR="+t.TempDir())
	var output harness.Log
	shell.Stdout, shell.Stderr = &output, &output
	keyboard, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		line = strings.ReplaceAll(line, "go run . ", "gatehouse ")
		lines[i] = strings.ReplaceAll(line, "127.0.0.1:6443", server.Process().Address())
	}
	typeLines(t, keyboard, lines[1:], server)
	err = shell.Wait()
	t.Logf("%s", &output)
	if err != nil {
		t.Errorf("a line of the README does not do what it says: %v", err)
	}
}

// typeLines writes lines to a shell and closes it. As a user would, it looks at the server's log before it relies on a plugin.
func typeLines(t *testing.T, keyboard io.WriteCloser, lines []string, server *harness.Server) {
	t.Helper()
	defer keyboard.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, line := range lines {
		if _, err := io.WriteString(keyboard, asScript(line)); err != nil {
			return // the shell has ended, and says why
		}
		if !strings.HasPrefix(line, "cp ") {
			continue
		}
		if err := harness.Poll(ctx, func() error {
			if !strings.Contains(server.Process().Log().String(), "plugin serves") {
				return errors.New("the server's log does not say that the plugin serves")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// commandLines are the lines of the sh blocks in the chapters of a document that have these headings.
func commandLines(document string, headings ...string) []string {
	var lines []string
	chapter, within := "", false
	for line := range strings.Lines(document) {
		line = strings.TrimSpace(line)
		last := len(lines) - 1
		heading, isHeading := strings.CutPrefix(line, "## ")
		switch {
		case isHeading:
			chapter = heading
		case strings.HasPrefix(line, "```"):
			within = line == "```sh"
		case within && last >= 0 && strings.HasSuffix(lines[last], "\\"):
			lines[last] = strings.TrimSuffix(lines[last], "\\") + line
		case within && line != "" && slices.Contains(headings, chapter):
			lines = append(lines, line)
		}
	}
	return lines
}

// asScript is what to type into a shell that stops at the first failure: the line, or if its comment says that it is refused, a
// check that it is.
func asScript(line string) string {
	if _, comment, _ := strings.Cut(line, " # "); strings.HasPrefix(comment, "refused") {
		return fmt.Sprintf("if %s\nthen echo 'it was not refused' >&2; exit 1; fi\n", line)
	}
	return line + "\n"
}
