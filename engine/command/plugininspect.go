package command

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"gatehouse/engine/config"
	"gatehouse/plugins"
	"gatehouse/plugins/cases"
	"gatehouse/plugins/inspect"
	"gatehouse/plugins/sandbox"
	"gatehouse/plugins/signature"
)

func pluginInspectCommand() command {
	return command{
		name:      "plugin inspect",
		arguments: []string{"FILE.wasm"},
		summary:   "show what a plugin exports, imports and is asked about",
		details: `What the plugin's author says of it, in a section of the module, is shown, and so is the configuration that comes of the YAML beside
the file, if there is one, where that leaves things to the author, and of a server's defaults. What the author wants is not granted unless
that YAML does. The exit code is 1 if a server would not load the plugin.
`,
		flags: func(p Program, set *pflag.FlagSet) func(context.Context) error {
			return func(ctx context.Context) error { return p.inspectPlugin(ctx, set.Arg(0)) }
		},
	}
}

func (p Program) inspectPlugin(ctx context.Context, path string) error {
	plugin, err := cases.ReadPlugin(path)
	if err != nil {
		return err
	}
	module, err := inspect.Read(ctx, plugin.Module)
	if err != nil {
		return fmt.Errorf("%s is %w", path, err)
	}
	server := config.Default().Plugins
	known := plugin.Module
	author, err := plugins.ReadAuthor(plugin.Module)
	if err != nil {
		known = nil // a server would not load it, and that is said in the end
	}
	configuration, err := plugins.Configuration(known, plugin.Manifest, sandbox.Limits{Memory: server.MemoryLimit, Deadline: server.Deadline})
	if err != nil {
		return fmt.Errorf("%s.yaml: %w", plugin.Name, err)
	}
	status, err := plugin.Status(ctx)
	if err != nil {
		return err
	}
	var text strings.Builder
	describe(&text, plugin, module, status)
	list(&text, "exports", module.Exports)
	list(&text, "imports", module.Imports)
	if author.Section != "" {
		list(&text, "author's defaults, from the section "+author.Section, linesOf(author.YAML))
		listWants(&text, author.Wants, status.Wants)
	}
	list(&text, "configuration, complete", linesOf(configuration))
	if _, err := io.WriteString(p.Stdout, text.String()); err != nil {
		return err
	}
	if status.Fault != nil {
		return fmt.Errorf("a server would not load %s: %w", path, status.Fault)
	}
	return nil
}

// describe writes what takes a line each.
func describe(text *strings.Builder, plugin cases.Plugin, module *inspect.Module, status plugins.Status) {
	roles := make([]string, len(status.Roles))
	for i, role := range status.Roles {
		roles[i] = string(role)
	}
	table := tabwriter.NewWriter(text, 0, 0, 3, ' ', 0)
	for _, row := range [][2]string{
		{"plugin", plugin.Name},
		{"abi", module.ABI},
		{"language", module.Language},
		{"roles", strings.Join(roles, ", ")},
		{"size", fmt.Sprintf("%d bytes", len(plugin.Module))},
		{"memory", fmt.Sprintf("%d bytes at the start", module.Memory)},
		{"sha256", fmt.Sprintf("%x", sha256.Sum256(plugin.Module))},
		{"signature", signatureLine(plugin.Signature)},
	} {
		if row[1] == "" {
			row[1] = "-"
		}
		fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
	}
	_ = table.Flush() // a strings.Builder takes everything
}

// signatureLine says who seems to have signed; only a server, or `plugin inspect` by the plugin's own publicKey, verifies that.
func signatureLine(file []byte) string {
	if file == nil {
		return ""
	}
	s, err := signature.Parse(file)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("by the key %s, saying %q", s.KeyID(), s.Comment())
}

// listWants writes what the author wants, and what of it the configuration grants.
func listWants(text *strings.Builder, wants, ungranted []string) {
	if len(wants) == 0 {
		return
	}
	lines := make([]string, len(wants))
	for i, one := range wants {
		lines[i] = one + " (granted)"
		if slices.Contains(ungranted, one) {
			lines[i] = one + " (not granted)"
		}
	}
	list(text, "wants", lines)
}

func linesOf(yaml []byte) []string { return strings.Split(strings.TrimSpace(string(yaml)), "\n") }

func list(text *strings.Builder, title string, lines []string) {
	fmt.Fprintf(text, "\n%s:\n", title)
	for _, line := range lines {
		fmt.Fprintf(text, "  %s\n", line)
	}
}
