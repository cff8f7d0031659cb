package command

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
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
		details: `The YAML beside the file, if there is one, is shown with all that it leaves to the defaults of a server. The exit code is
1 if a server would not load the plugin.
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
	configuration, err := plugins.Configuration(plugin.Manifest, sandbox.Limits{Memory: server.MemoryLimit, Deadline: server.Deadline})
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
	list(&text, plugin.Name+".yaml, complete", strings.Split(strings.TrimSpace(string(configuration)), "\n"))
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

func list(text *strings.Builder, title string, lines []string) {
	fmt.Fprintf(text, "\n%s:\n", title)
	for _, line := range lines {
		fmt.Fprintf(text, "  %s\n", line)
	}
}
