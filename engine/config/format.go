package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Format returns c as a configuration file, each key with a comment that says what it means. A key without a value is commented
// out. Loading the result gives c again.
func Format(c Config) ([]byte, error) {
	var text bytes.Buffer
	var open []string // the sections that the last key was in
	for _, k := range keys(&c) {
		sections := strings.Split(k.path, ".")
		name := sections[len(sections)-1]
		sections = sections[:len(sections)-1]
		for depth, section := range sections {
			if !slices.Equal(sections[:depth+1], open[:min(depth+1, len(open))]) {
				fmt.Fprintf(&text, "%s%s:\n", indent(depth), section)
			}
		}
		open = sections
		margin, mark := indent(len(sections)), ""
		written, err := k.written()
		if err != nil {
			return nil, fmt.Errorf("cannot print %s: %w", k.path, err)
		}
		if written == "" {
			written, mark = k.placeholder(), "# "
		}
		fmt.Fprintf(&text, "%s# %s\n%s%s%s: %s\n", margin, k.usage, margin, mark, name, written)
		if k.path == lastPluginsKey {
			if err := formatPluginConfigurations(&text, c.Plugins.Configurations); err != nil {
				return nil, err
			}
		}
	}
	return text.Bytes(), nil
}

// lastPluginsKey is the key after which the section pluginConfigurationsPath stands.
const lastPluginsKey = "plugins.publicKeys"

func indent(depth int) string { return strings.Repeat("  ", depth) }

// written is the key's value as YAML, on one line; empty if it has none.
func (k key) written() (string, error) {
	texts := k.value.texts()
	if len(texts) == 0 {
		return "", nil
	}
	encoded, err := yaml.Marshal(yamlValue(texts, k.value.list))
	return strings.TrimSuffix(string(encoded), "\n"), err
}

// placeholder stands where a value would.
func (k key) placeholder() string {
	if k.value.list {
		return "[" + strings.Replace(k.arg, ",", ", ", 1) + "]"
	}
	return k.arg
}

func yamlValue(texts []string, isList bool) *yaml.Node {
	if !isList {
		return yamlText(texts[0])
	}
	sequence := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, text := range texts {
		sequence.Content = append(sequence.Content, yamlText(text))
	}
	return sequence
}

// yamlText is a scalar, quoted where YAML would read something other than the text. Numbers and truth values stay bare: the
// file is read as text anyway.
func yamlText(text string) *yaml.Node {
	node := new(yaml.Node)
	node.SetString(text)
	switch {
	case strings.Contains(text, "\n"):
		node.Style = yaml.DoubleQuotedStyle // all on one line
	case isDigits(text):
		node.Tag = "!!int"
	case text == "true" || text == "false":
		node.Tag = "!!bool"
	}
	return node
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
