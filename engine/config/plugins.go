package config

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"gatehouse/plugins"
	"gatehouse/plugins/sandbox"
	"gatehouse/plugins/signature"
)

const (
	// MemberPlugins stands in the orders of the three gates for all plugins that are not named there. Left out, they
	// are asked nonetheless: last about who asks, first about what they may, and last of those who change what is written, so
	// that no order makes a plugin's denial void.
	MemberPlugins = "plugins"
	// pluginPrefix begins what stands there for one plugin.
	pluginPrefix = "plugin:"
)

// PluginMember is the plugin that a member's name stands for.
func PluginMember(member string) (plugin string, ok bool) {
	return strings.CutPrefix(member, pluginPrefix)
}

// PluginMemberOf is the name of the member that a plugin is.
func PluginMemberOf(plugin string) string { return pluginPrefix + plugin }

// PluginMembers are the plugins that an order names.
func PluginMembers(order []string) []string {
	var names []string
	for _, member := range order {
		if name, ok := PluginMember(member); ok {
			names = append(names, name)
		}
	}
	return names
}

// namesPlugin reports whether a member's name stands for a plugin that there can be.
func namesPlugin(member string) bool {
	name, ok := PluginMember(member)
	return ok && len(validation.IsDNS1123Subdomain(name)) == 0
}

// membersValue is a list of members' names, which single plugins can be among. check looks at all of them together.
func membersValue(field *[]string, known []string, plugins bool, check func([]string) error) value {
	want := "names among " + strings.Join(known, ", ")
	if plugins {
		want += " and " + pluginPrefix + "NAME"
	}
	return list(field, want, func(text string) (string, error) {
		if slices.Contains(known, text) || plugins && namesPlugin(text) {
			return text, nil
		}
		if nearest := Nearest(text, known); nearest != "" {
			return "", reason(fmt.Sprintf("%s; did you mean %s?", want, nearest))
		}
		return "", errUnwanted
	}, same, check)
}

// eachOnce is an error if a name stands twice.
func eachOnce(names []string) error {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return reason(fmt.Sprintf("each name once, but %s stands twice", name))
		}
	}
	return nil
}

// publicKeysValue is a list of public keys, each the one line of it that is not a comment.
func publicKeysValue(field *[]signature.PublicKey) value {
	return list(field, "a public key of minisign, the second line of its file", func(text string) (signature.PublicKey, error) {
		key, err := signature.ParsePublicKey([]byte(text))
		if err != nil {
			return signature.PublicKey{}, errUnwanted
		}
		return key, nil
	}, signature.PublicKey.String, nil)
}

// pluginConfigurationsPath is the one section whose keys are not in the table: plugins' names, each with what NAME.yaml may hold.
const pluginConfigurationsPath = "plugins.configurations"

// maxPluginName is how long a plugin's name can be.
const maxPluginName = 63

// readPluginConfigurations takes what stands in pluginConfigurationsPath.
func (r *fileReader) readPluginConfigurations(node *yaml.Node) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		r.fail(node.Line, "%s is not a section, want the names of plugins below it", pluginConfigurationsPath)
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		path := pluginConfigurationsPath + "." + name.Value
		switch {
		case !isText(name) || len(validation.IsDNS1123Subdomain(name.Value)) > 0 || len(name.Value) > maxPluginName:
			r.fail(name.Line, "%s: %q is no plugin's name, want that of its file without .wasm", pluginConfigurationsPath, name.Value)
		case first[name.Value] > 0:
			r.fail(name.Line, "%s is set a second time, first on line %d; keep one", path, first[name.Value])
		case isNull(value): // as if it were not there
		case value.Kind != yaml.MappingNode:
			r.fail(value.Line, "%s is not a section, want what %s.yaml could hold below it", path, name.Value)
		default:
			first[name.Value] = name.Line
			r.readPluginConfiguration(value, name.Value, name.Line)
		}
	}
}

// readPluginConfiguration takes what stands below a plugin's name.
func (r *fileReader) readPluginConfiguration(node *yaml.Node, name string, line int) {
	path := pluginConfigurationsPath + "." + name
	if at := aliased(node); at != 0 {
		r.fail(at, "%s uses an anchor or an alias, want the value itself", path)
		return
	}
	text, err := yaml.Marshal(node)
	if err != nil {
		r.fail(line, "%s cannot be read: %v", path, err)
		return
	}
	if _, err := plugins.Configuration(nil, text, sandbox.Limits{}); err != nil {
		r.fail(lineOf(node, err, line), "%s: %v", path, err)
		return
	}
	if r.layer.plugins == nil {
		r.layer.plugins = map[string]PluginConfiguration{}
	}
	r.layer.plugins[name] = PluginConfiguration{YAML: text, Origin: fmt.Sprintf("%s:%d", r.name, line)}
}

// aliased is the line of the first anchor or alias in a value; 0 if there is none.
func aliased(node *yaml.Node) int {
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		return node.Line
	}
	for _, part := range node.Content {
		if line := aliased(part); line != 0 {
			return line
		}
	}
	return 0
}

// lineOf is the line of the key that an error about a plugin's configuration names, as far as there is such a key, or else line.
func lineOf(node *yaml.Node, err error, line int) int {
	named := regexp.MustCompile(`^(?:unknown field ")?([A-Za-z0-9_.\[\]-]+)`).FindStringSubmatch(err.Error())
	if named == nil {
		return line
	}
	for _, part := range regexp.MustCompile(`[^.\[\]]+`).FindAllString(named[1], -1) {
		next, at := member(node, part)
		if next == nil {
			return line
		}
		node, line = next, at
	}
	return line
}

// member is what stands under a key of a mapping, or at a place of a list, and its line; nil if nothing does.
func member(node *yaml.Node, key string) (*yaml.Node, int) {
	if i, err := strconv.Atoi(key); err == nil && node.Kind == yaml.SequenceNode {
		if i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
		return nil, 0
	}
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	}
	return nil, 0
}

// formatPluginConfigurations writes the section as Format does keys.
func formatPluginConfigurations(text *bytes.Buffer, all map[string]PluginConfiguration) error {
	margin := indent(1)
	fmt.Fprintf(text, "%s# how single plugins are run, by name: what NAME.yaml could hold, in its place; a plugin that has both is refused, and what\n", margin)
	fmt.Fprintf(text, "%s# concerns one whose module is not there is denied unless its failurePolicy is Ignore\n", margin)
	if len(all) == 0 {
		fmt.Fprintf(text, "%s# configurations: {NAME: {failurePolicy: POLICY, ...}}\n", margin)
		return nil
	}
	fmt.Fprintf(text, "%sconfigurations:\n", margin)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var content yaml.Node
		if err := yaml.Unmarshal(all[name].YAML, &content); err != nil {
			return fmt.Errorf("cannot print %s.%s: %w", pluginConfigurationsPath, name, err)
		}
		var section bytes.Buffer
		encoder := yaml.NewEncoder(&section)
		encoder.SetIndent(len(indent(1)))
		if err := encoder.Encode(map[string]*yaml.Node{name: content.Content[0]}); err != nil {
			return fmt.Errorf("cannot print %s.%s: %w", pluginConfigurationsPath, name, err)
		}
		for line := range strings.Lines(section.String()) {
			if strings.TrimSpace(line) != "" {
				text.WriteString(indent(2))
			}
			text.WriteString(line)
		}
	}
	return nil
}

// WithoutSecrets is the configuration for others than its operator to see: what plugins are given as settings and as keys is left out,
// and all comments on plugins.
func (c Config) WithoutSecrets() (Config, error) {
	shown := make(map[string]PluginConfiguration, len(c.Plugins.Configurations))
	for name, one := range c.Plugins.Configurations {
		var content yaml.Node
		if err := yaml.Unmarshal(one.YAML, &content); err != nil {
			return Config{}, fmt.Errorf("cannot read %s.%s: %w", pluginConfigurationsPath, name, err)
		}
		hide(&content)
		text, err := yaml.Marshal(content.Content[0])
		if err != nil {
			return Config{}, fmt.Errorf("cannot write %s.%s: %w", pluginConfigurationsPath, name, err)
		}
		shown[name] = PluginConfiguration{YAML: text, Origin: one.Origin}
	}
	c.Plugins.Configurations = shown
	return c, nil
}

// hide replaces what may be secret in a plugin's configuration. Comments go as well: settings may have been commented out.
func hide(node *yaml.Node) {
	node.HeadComment, node.LineComment, node.FootComment = "", "", ""
	for i, part := range node.Content {
		if key := node.Content[max(0, i-1)].Value; node.Kind == yaml.MappingNode && i%2 == 1 && (key == "settings" || key == "jwks") {
			*part = yaml.Node{Kind: yaml.ScalarNode, Value: "(not shown)"}
			continue
		}
		hide(part)
	}
}
