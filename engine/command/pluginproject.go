package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"gatehouse/plugins/project"
	"gatehouse/plugins/sandbox"
)

func pluginNewCommand() command {
	return command{
		name:      "plugin new",
		arguments: []string{"DIR"},
		summary:   "begin a plugin, in Go, Rust, C or AssemblyScript",
		details: `The directory, which is made, is called as the plugin is. What it has is a page that plays a role (says whether a write is acceptable,
who sends a request, or whether they may do what they want), YAML for its author and its operator, cases to test it with, and the SDK, so
that it can be built as it is:

  gatehouse plugin new who-owns --language rust --role admit
  gatehouse plugin build who-owns
  gatehouse plugin test who-owns/who-owns.wasm
`,
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			language := set.String("language", string(project.Go), "`LANGUAGE` to write it in: "+listed(project.Languages()))
			role := set.String("role", string(sandbox.Admit), "`ROLE` that it plays: "+listed(project.Roles()))
			return func(context.Context) error {
				return p.newPlugin(set.Arg(0), project.Language(*language), sandbox.Role(*role))
			}
		},
	}
}

// listed puts commas between words.
func listed[Word ~string](words []Word) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts, ", ")
}

func (p Program) newPlugin(dir string, language project.Language, role sandbox.Role) error {
	module, err := project.New(dir, language, role)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "made %s; go on with\n\n  gatehouse plugin build %s\n  gatehouse plugin test %s\n",
		dir, shellQuote(dir), shellQuote(module))
	return err
}

func pluginBuildCommand() command {
	return command{
		name:      "plugin build",
		arguments: []string{"DIR"},
		summary:   "compile a plugin to WebAssembly",
		details: `DIR is as ` + "`gatehouse plugin new`" + ` makes it; the module goes to NAME.wasm in it. The compiler is that of the language: Go, cargo, clang,
or npm, which gets the compiler for AssemblyScript from the npm registry. What is missing is named. plugin.yaml, if it is there, goes into the
module as its section gatehouse_plugin_v1: what the author has to say of how the plugin is run, which holds where an operator says nothing.
`,
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			return func(ctx context.Context) error {
				wasm, err := project.Build(ctx, set.Arg(0))
				if err != nil {
					return fmt.Errorf("build the plugin: %w", err)
				}
				_, err = fmt.Fprintf(p.Stdout, "built %s\n", wasm)
				return err
			}
		},
	}
}
