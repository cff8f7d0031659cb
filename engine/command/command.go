// Package command is what `gatehouse` does on the command line. main.go hands it the process's arguments and streams, and
// the one constructor it does not know: that of the server.
//
// A command that fails for a reason its user can do something about says so in a sentence with the fix, on standard
// error, and exits with 1; a command line that cannot be understood exits with 2.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"gatehouse/engine/config"
	"gatehouse/engine/logs"
	"gatehouse/engine/pki"
)

// The exit codes of the process.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// helpWidth is where the lines of help break.
const helpWidth = 110

// Program is one run of gatehouse: what it has of the process, and the server it can start.
type Program struct {
	// Args are the arguments after the program's name.
	Args []string
	// Environ is the environment as os.Environ returns it.
	Environ []string
	// Stdout takes what was asked for, Stderr takes logs and errors.
	Stdout, Stderr io.Writer
	// NewServer makes the server that `serve` runs. Without one, `serve` is an error.
	NewServer NewServer
}

// NewServer makes a server that is ready to serve; ctx bounds the making. Config is complete, and bundle belongs to its
// data directory, whose lock the caller holds until Serve has returned. What is logged, by logger and otherwise, is in recent.
type NewServer func(ctx context.Context, config config.Config, bundle *pki.Bundle, logger *slog.Logger, recent *logs.Ring) (Server, error)

// Server serves until its context ends. Package engine has the one there is.
type Server interface {
	// Serve answers requests on listener, which it closes. After ctx ended it drains, and returns nil once that is done.
	Serve(ctx context.Context, listener net.Listener) error
}

// command is one of gatehouse's commands.
type command struct {
	name      string   // one word or more: "certificate request"
	arguments []string // what it takes besides flags, as help calls them; all are needed
	summary   string   // one line for the list of commands
	details   string   // more of it, for the command's own help
	// flags adds the command's flags to set, and returns what runs once they and the arguments are in set.
	flags func(p Program, set *pflag.FlagSet) func(ctx context.Context) error
}

// commands lists what gatehouse can do, in the order of help. `help` itself is Run's.
func commands() []command {
	return []command{serveCommand(), kubeconfigCommand(), certificateRequestCommand(),
		pluginNewCommand(), pluginBuildCommand(), pluginInspectCommand(), pluginTestCommand(), pluginRecordCommand(), pluginSignCommand(), configCommand(), versionCommand()}
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// Run does what the arguments ask for and returns the process's exit code. It returns soon after ctx ends.
func (p Program) Run(ctx context.Context) int {
	err := p.dispatch(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(p.Stderr, "gatehouse: %s\n", strings.TrimSpace(line))
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func (p Program) dispatch(ctx context.Context) error {
	if len(p.Args) == 0 {
		return p.help(nil)
	}
	args := p.Args
	switch args[0] {
	case "help", "--help", "-h":
		return p.help(args[1:])
	case "--version":
		args = []string{"version"}
	}
	c, rest, err := find(args)
	if err != nil {
		return err
	}
	return p.run(ctx, c, rest)
}

// find returns the command whose name args begin with, and the args after it.
func find(args []string) (command, []string, error) {
	var names []string
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c, args[len(words):], nil
		}
		names = append(names, c.name)
	}
	return command{}, nil, usageError{unknownCommand(args, names)}
}

func unknownCommand(args, names []string) error {
	typed := args[0]
	if len(args) > 1 && slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, typed+" ") }) {
		typed += " " + args[1]
	}
	if nearest := config.Nearest(typed, names); nearest != "" {
		return fmt.Errorf("unknown command %q; did you mean %s?", typed, nearest)
	}
	switch begun := beginningWith(args[0]); len(begun) {
	case 0:
		return fmt.Errorf("unknown command %q; `gatehouse help` lists those there are", typed)
	case 1:
		return fmt.Errorf("unknown command %q; there is `gatehouse %s`", typed, begun[0].name)
	default:
		return fmt.Errorf("unknown command %q; `gatehouse help %s` lists those there are", typed, args[0])
	}
}

// beginningWith are the commands of several words whose first it is.
func beginningWith(word string) []command {
	return slices.DeleteFunc(commands(), func(c command) bool { return !strings.HasPrefix(c.name, word+" ") })
}

func (p Program) run(ctx context.Context, c command, args []string) error {
	set := newFlagSet(c)
	run := c.flags(p, set)
	switch err := set.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return p.help([]string{c.name})
	case err != nil:
		return usageError{fmt.Errorf("%w%s", err, flagHint(set, err, c.name))}
	}
	if err := c.checkArguments(set.Args()); err != nil {
		return err
	}
	return run(ctx)
}

// checkArguments makes sure that there are as many as the command takes.
func (c command) checkArguments(args []string) error {
	wanted := strings.Join(c.arguments, " ")
	switch surplus := len(args) - len(c.arguments); {
	case surplus > 0 && wanted == "":
		return usageError{fmt.Errorf("%s takes no arguments, but there is %q; flags start with --, see `gatehouse help %s`",
			c.name, args[0], c.name)}
	case surplus > 0:
		return usageError{fmt.Errorf("%s takes %s, but there is %q besides; flags start with --, see `gatehouse help %s`",
			c.name, wanted, args[len(c.arguments)], c.name)}
	case surplus < 0:
		return usageError{fmt.Errorf("%s takes %s; see `gatehouse help %s`", c.name, wanted, c.name)}
	}
	return nil
}

func newFlagSet(c command) *pflag.FlagSet {
	set := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	set.SetOutput(io.Discard) // Run prints errors, help prints usage.
	set.SortFlags = false
	set.Usage = func() {}
	return set
}

func flagHint(set *pflag.FlagSet, err error, name string) string {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		set.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
		if nearest := config.Nearest(unknown.GetSpecifiedName(), names); nearest != "" {
			return fmt.Sprintf("; did you mean --%s?", nearest)
		}
	}
	return fmt.Sprintf("; see `gatehouse help %s`", name)
}

// help prints the list of commands or, given the name of one, its flags.
func (p Program) help(args []string) error {
	if len(args) == 1 && len(beginningWith(args[0])) > 1 {
		return p.list("Commands:\n", beginningWith(args[0]), "\nExplain one with:\n  gatehouse help "+beginningWith(args[0])[0].name+"\n")
	}
	if len(args) > 0 {
		return p.helpWith(strings.Join(args, " "))
	}
	help := command{name: "help", arguments: []string{"COMMAND"}, summary: "explain a command and its flags"}
	return p.list("gatehouse is a Kubernetes API server in one binary, with WebAssembly at its gates.\n\nCommands:\n",
		append(commands(), help), "\nStart with:\n  gatehouse serve\n")
}

// list prints commands, a line each, with what comes before and after them.
func (p Program) list(before string, listed []command, after string) error {
	var text strings.Builder
	text.WriteString(before)
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, c := range listed {
		fmt.Fprintf(table, "  %s\t%s\n", strings.Join(append([]string{c.name}, c.arguments...), " "), c.summary)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	text.WriteString(after)
	_, err := io.WriteString(p.Stdout, text.String())
	return err
}

func (p Program) helpWith(name string) error {
	c, _, err := find(strings.Fields(name))
	if err != nil {
		return err
	}
	set := newFlagSet(c)
	c.flags(p, set)
	usage := strings.Join(append([]string{c.name}, c.arguments...), " ")
	text := fmt.Sprintf("gatehouse %s: %s\n\n%s", usage, c.summary, c.details)
	if set.HasFlags() {
		text += "\nFlags:\n" + set.FlagUsagesWrapped(helpWidth)
	}
	_, err = io.WriteString(p.Stdout, text)
	return err
}
