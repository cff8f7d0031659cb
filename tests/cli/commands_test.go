package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/tests/harness"
	"gatehouse/tests/manifests"
)

// commands are what scripts can say besides what testscript knows. [!] means that ! before it turns it round.
//
//	server start [FLAG...]      start the server on $DATA, wait until it is ready; KUBECONFIG leads to it
//	server stop                 end it with SIGTERM, wait; its exit code must be 0
//	server terminate            send it SIGTERM and go on
//	server kill                 end it with SIGKILL, wait
//	server logs [PATTERN]       make what it has printed the standard output, once PATTERN matches it
//	[!] gatehouse ARG...        run the binary to its end
//	[!] kubectl ARG...          run kubectl to its end
//	save FILE PROGRAM ARG...    run it to its end, which must be a success, with its standard output going to FILE
//	eventually PATTERN PROGRAM ARG...    run it until it succeeds and PATTERN matches its standard output
//	background NAME PROGRAM ARG...       let it run, with its output going to the file NAME
//	ended NAME                  wait until it ends; its exit code must be 0
//	interrupt NAME              end it as Ctrl-C does, wait
//	manifests DIR               write an object of every kind to DIR, and the questions to DIR-reviews
//	example NAME DIR            compile an example plugin and put it into DIR, with its YAML
//	guest NAME FILE             put the WebAssembly module that behaves as it is called to FILE
//	uncovered                   print the kinds that can be created, but have no manifest
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"server":     server,
		"gatehouse":  program("gatehouse"),
		"kubectl":    program("kubectl"),
		"save":       save,
		"eventually": eventually,
		"background": runBackground,
		"ended":      ended,
		"interrupt":  interrupt,
		"manifests":  writeManifests,
		"example":    example,
		"guest":      guest,
		"uncovered":  uncovered,
	}
}

type scriptKey struct{}

// script is what one run of a script has under way. It belongs to the script's goroutine.
type script struct {
	binary, dataDir string

	server     *harness.Process // nil before the first start
	background map[string]*background
}

// background is a program that a script let run.
type background struct {
	command *exec.Cmd
	output  *os.File
}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

// finish ends what the script left running and looks at what the server printed.
func (s *script) finish(t testing.TB) {
	for name, b := range s.background {
		_ = b.command.Process.Kill() // it may have ended
		_ = b.command.Wait()
		if err := b.output.Close(); err != nil {
			t.Errorf("close the output of %s: %v", name, err)
		}
	}
	if s.server == nil {
		return
	}
	if err := s.server.Kill(); err != nil {
		t.Error(err)
	}
	s.inspect(t)
}

// inspect shows the log of the latest server if the script failed, and fails it if the server printed what it never may.
func (s *script) inspect(t testing.TB) {
	if found := s.server.Log().Alarms(); len(found) > 0 {
		t.Errorf("the server printed what it never may: %q", found)
	}
	if t.Failed() {
		t.Logf("log of the server:\n%s", s.server.Log())
	}
}

func server(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	switch {
	case neg || len(args) == 0:
		ts.Fatalf("usage: server start|stop|terminate|kill|logs; what fails to start is run with: ! gatehouse serve")
	case args[0] == "start":
		ts.Check(s.start(args[1:]))
	case s.server == nil:
		ts.Fatalf("no server was started")
	case args[0] == "stop":
		ts.Check(s.server.Stop())
	case args[0] == "terminate":
		ts.Check(s.server.Terminate())
	case args[0] == "kill":
		ts.Check(s.server.Kill())
	case args[0] == "logs":
		ts.Check(s.logs(ts, args[1:]))
	default:
		ts.Fatalf("server cannot %s", args[0])
	}
}

// logs prints the log, with a pattern when that matches.
func (s *script) logs(ts *testscript.TestScript, patterns []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, text := range patterns {
		pattern, err := regexp.Compile("(?m)" + text)
		if err != nil {
			return err
		}
		err = harness.Poll(ctx, func() error {
			if !pattern.MatchString(s.server.Log().String()) {
				return fmt.Errorf("the server has not printed what matches %s", pattern)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(ts.Stdout(), s.server.Log())
	return err
}

// start runs the server with flags. A run before it must be over.
func (s *script) start(flags []string) error {
	if s.server != nil {
		if found := s.server.Log().Alarms(); len(found) > 0 {
			return fmt.Errorf("the server printed what it never may: %q", found)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	process, err := harness.Launch(ctx, harness.Options{Binary: s.binary, DataDir: s.dataDir, Flags: flags, Patience: patience})
	if err != nil {
		return err
	}
	s.server = process
	return process.WaitReady(ctx)
}

// program runs a program to its end, which must be a success or, with !, a failure.
func program(name string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := ts.Exec(name, args...)
		switch {
		case err == nil && neg:
			ts.Fatalf("%s succeeded, want a failure", name)
		case err != nil && !neg:
			ts.Fatalf("%s failed: %v", name, err)
		}
	}
}

// save is for output that would be too long for the log.
func save(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: save FILE PROGRAM ARG...")
	}
	command := execCommand(ts, args[1], args[2:])
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		ts.Fatalf("%s: %v\n%s", command, err, &stderr)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out, 0o600))
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN PROGRAM ARG...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout string
	err = harness.Poll(ctx, func() error {
		command := execCommand(ts, args[1], args[2:])
		var stderr strings.Builder
		command.Stderr = &stderr
		out, err := command.Output()
		stdout = string(out)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, stderr.String())
		}
		if !pattern.Match(out) {
			return fmt.Errorf("%s does not match:\n%s", pattern, out)
		}
		return nil
	})
	ts.Check(err)
	_, err = fmt.Fprint(ts.Stdout(), stdout)
	ts.Check(err)
}

// execCommand prepares a program to be run in the script's directory and environment.
func execCommand(ts *testscript.TestScript, name string, args []string) *exec.Cmd {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if file := filepath.Join(dir, name); filepath.Base(name) == name && isFile(file) {
			name = file
			break
		}
	}
	command := exec.Command(name, args...)
	command.Dir = ts.MkAbs(".")
	for _, variable := range []string{"PATH", "HOME", "DATA", "KUBECONFIG", "KUBECTL_KUBERC"} {
		command.Env = append(command.Env, variable+"="+ts.Getenv(variable))
	}
	return command
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

func runBackground(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: background NAME PROGRAM ARG...")
	}
	name := args[0]
	if _, taken := of(ts).background[name]; taken {
		ts.Fatalf("there is a background program %s already", name)
	}
	output, err := os.Create(ts.MkAbs(name))
	ts.Check(err)
	command := execCommand(ts, args[1], args[2:])
	command.Stdout, command.Stderr = output, output
	ts.Check(command.Start())
	of(ts).background[name] = &background{command, output}
}

// take forgets a background program, which is the caller's from then on.
func take(ts *testscript.TestScript, neg bool, args []string) *background {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ended NAME, or interrupt NAME")
	}
	b := of(ts).background[args[0]]
	if b == nil {
		ts.Fatalf("no background program %s", args[0])
	}
	delete(of(ts).background, args[0])
	return b
}

func ended(ts *testscript.TestScript, neg bool, args []string) {
	b := take(ts, neg, args)
	err := b.command.Wait()
	ts.Check(b.output.Close())
	if err != nil {
		ts.Fatalf("%s: %v\n%s", args[0], err, ts.ReadFile(args[0]))
	}
}

func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	b := take(ts, neg, args)
	ts.Check(b.command.Process.Signal(os.Interrupt))
	_ = b.command.Wait() // how it ends is its own affair
	ts.Check(b.output.Close())
}

func writeManifests(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: manifests DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.CopyFS(dir, manifests.Files()))
	ts.Check(os.Mkdir(dir+"-reviews", 0o755))
	ts.Check(os.Rename(filepath.Join(dir, manifests.ReviewsFile), filepath.Join(dir+"-reviews", manifests.ReviewsFile)))
}

func example(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: example NAME DIR")
	}
	wasm, yaml, err := harness.Example(context.Background(), args[0])
	ts.Check(err)
	for _, file := range []string{yaml, wasm} { // a plugin is loaded as soon as it is there
		ts.Check(copyFile(file, filepath.Join(ts.MkAbs(args[1]), args[0]+filepath.Ext(file))))
	}
}

// condition knows [example:NAME], which is false where the tools to compile an example are missing.
func condition(name string) (bool, error) {
	example, ok := strings.CutPrefix(name, "example:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	_, _, err := harness.Example(context.Background(), example)
	if harness.Excused(err) {
		return false, nil
	}
	return true, err
}

func guest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: guest NAME FILE")
	}
	wasm, err := harness.Guest(context.Background(), args[0])
	ts.Check(err)
	ts.Check(copyFile(wasm, ts.MkAbs(args[1])))
}

// copyFile copies by way of another file, so that nobody sees half of one.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to+".part", text, 0o600); err != nil {
		return err
	}
	return os.Rename(to+".part", to)
}

// uncovered prints each kind that the server lets clients create and that no manifest is of, as "apps/v1 Deployment".
// Binding is left out: it can only be created for a pod that is there, as subresources.txt does.
func uncovered(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: uncovered")
	}
	stored, err := manifests.Stored()
	ts.Check(err)
	reviews, err := manifests.Reviews()
	ts.Check(err)
	covered := []string{"v1 Binding"}
	for _, object := range slices.Concat(stored, reviews) {
		covered = append(covered, object.GetAPIVersion()+" "+object.GetKind())
	}
	listing, err := execCommand(ts, "kubectl", []string{"api-resources", "--verbs=create", "--no-headers"}).Output()
	ts.Check(err)
	served := 0
	for line := range strings.Lines(string(listing)) {
		// NAME [SHORTNAMES] APIVERSION NAMESPACED KIND
		fields := strings.Fields(line)
		kind := fields[len(fields)-3] + " " + fields[len(fields)-1]
		served++
		if !slices.Contains(covered, kind) {
			_, err := fmt.Fprintln(ts.Stdout(), kind)
			ts.Check(err)
		}
	}
	if served == 0 {
		ts.Fatalf("kubectl lists no kinds at all")
	}
}
