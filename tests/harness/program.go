package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// stopGrace is how long a program may take to end: more than a server gives the requests under way.
const stopGrace = time.Minute

// Program is one run of a program beside the test. On Linux it does not outlive this process. Its methods are safe for
// concurrent use.
type Program struct {
	name    string // for errors
	command *exec.Cmd
	log     Log
	started time.Time

	// exited closes when the program has ended; failure is set before that.
	exited  chan struct{}
	failure error
}

// launch starts a command, whose output becomes the program's log, and returns at once. The caller ends it with Stop or Kill.
func (p *Program) launch(name string, command *exec.Cmd) error {
	p.name, p.command, p.exited = name, command, make(chan struct{})
	command.Stdout, command.Stderr = &p.log, &p.log
	command.SysProcAttr = endWithParent()
	p.started = time.Now()
	if err := command.Start(); err != nil {
		return fmt.Errorf("launch %s: %w", command, err)
	}
	go func() {
		defer close(p.exited)
		p.failure = command.Wait()
	}()
	return nil
}

// PID is the process id.
func (p *Program) PID() int { return p.command.Process.Pid }

// Started is when the program was started.
func (p *Program) Started() time.Time { return p.started }

// Log is what the program has printed so far.
func (p *Program) Log() *Log { return &p.log }

// Exited closes when the program has ended.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// Kill ends the program as kill -9 does and waits until it is gone. One that is gone already is no error.
func (p *Program) Kill() error {
	if err := p.command.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.exited
	return nil
}

// Terminate asks the program to end, and returns at once.
func (p *Program) Terminate() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("terminate %s: %w", p.name, err)
	}
	return nil
}

// Stop asks the program to end and waits until it has. It is an error if it was gone already, ends in any way but with exit
// code 0, or takes too long.
func (p *Program) Stop() error {
	if err := p.Terminate(); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(stopGrace):
		return errors.Join(fmt.Errorf("stop %s: still there %s after SIGTERM", p.name, stopGrace), p.Kill())
	}
	if p.failure != nil {
		return fmt.Errorf("stop %s: %w", p.name, p.failure)
	}
	return nil
}

// finish ends a program at the end of a test, and fails the test if it printed what no program may.
func (p *Program) finish(t testing.TB) {
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if found := p.Log().Alarms(); len(found) > 0 {
		t.Errorf("%s printed what it never may: %q", p.name, found)
	}
	if t.Failed() {
		t.Logf("log of %s %d:\n%s", p.name, p.PID(), p.Log())
	}
}
