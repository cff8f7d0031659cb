package config

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Format returns c as a configuration file, each key with a comment that says what it means. Loading the result gives c
// again. There is nothing secret in a Config.
func Format(c Config) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range keys(&c) {
		texts := k.value.texts()
		if len(texts) == 0 {
			continue
		}
		section, name := root, k.path
		for prefix, rest, nested := strings.Cut(name, "."); nested; prefix, rest, nested = strings.Cut(name, ".") {
			section, name = subsection(section, prefix), rest
		}
		section.Content = append(section.Content,
			&yaml.Node{Kind: yaml.ScalarNode, Value: name, HeadComment: k.usage}, yamlValue(texts, k.value.list))
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("cannot print the configuration: %w", err)
	}
	return text.Bytes(), nil
}

// subsection returns the mapping called name in a section. Keys of one section stand together in the table.
func subsection(root *yaml.Node, name string) *yaml.Node {
	if n := len(root.Content); n > 0 && root.Content[n-2].Value == name {
		return root.Content[n-1]
	}
	section := &yaml.Node{Kind: yaml.MappingNode}
	root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, section)
	return section
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
	case isDigits(text):
		node.Tag = "!!int"
	case text == "true" || text == "false":
		node.Tag = "!!bool"
	}
	return node
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
