package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileSize is more than any configuration needs, and little enough to read a wrong file without harm.
const maxFileSize = 1 << 20

// readFile reads the YAML file at path into a layer; no path gives an empty one.
func readFile(table []key, path string) (layer, error) {
	if path == "" {
		return newLayer(), nil
	}
	content, err := readAll(path)
	if err != nil {
		var cause *os.PathError
		if errors.As(err, &cause) {
			err = cause.Err // The path is in the sentence already.
		}
		return layer{}, fmt.Errorf("cannot read configuration file %s: %w; check the path and its permissions, or leave out --config and %s",
			path, err, fileVariable)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return layer{}, fmt.Errorf("cannot find the directory of configuration file %s: %w", path, err)
	}
	return parseFile(table, content, path, dir)
}

func readAll(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // Only read.
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFileSize {
		return nil, fmt.Errorf("it is larger than %s, which no configuration is", formatSize(maxFileSize))
	}
	return content, nil
}

// parseFile parses the content of the file called name, whose relative paths start at dir. It joins all errors it finds.
func parseFile(table []key, content []byte, name, dir string) (layer, error) {
	reader := &fileReader{name: name, dir: dir, table: table, layer: newLayer()}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return reader.layer, nil
	case err != nil:
		return layer{}, reader.notYAML(err)
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		reader.fail(second.Line, "a second document starts here, want one document in the file")
	} else if !errors.Is(err, io.EOF) {
		return layer{}, reader.notYAML(err)
	}
	for _, root := range document.Content {
		reader.read(root, "", root.Line)
	}
	return reader.layer, errors.Join(reader.errs...)
}

// fileReader walks the nodes of a YAML document, because only they know their lines.
type fileReader struct {
	name, dir string
	table     []key
	layer     layer
	errs      []error
}

func (r *fileReader) notYAML(err error) error {
	return fmt.Errorf("configuration file %s is not valid YAML: %s", r.name, strings.TrimPrefix(err.Error(), "yaml: "))
}

func (r *fileReader) fail(line int, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %s", r.name, line, fmt.Sprintf(format, args...)))
}

// read takes the value at path, whose key stands on the given line. The document's root has the empty path.
func (r *fileReader) read(node *yaml.Node, path string, line int) {
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		r.fail(node.Line, "%s uses an anchor or an alias, want the value itself", orRoot(path))
		return
	}
	if path == pluginConfigurationsPath {
		r.readPluginConfigurations(node)
		return
	}
	if k, ok := r.find(path); ok {
		r.readKey(node, k, line)
		return
	}
	switch {
	case !r.isSection(path):
		r.fail(line, "unknown key %q; %s", path, r.hint(path))
	case node.Kind == yaml.MappingNode:
		r.readSection(node, path)
	case isNull(node): // A section whose keys are all commented out.
	default:
		r.fail(node.Line, "%s is not a section, want its keys below it, each as key: value", orRoot(path))
	}
}

func (r *fileReader) readSection(node *yaml.Node, path string) {
	seen := make(map[string]int, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			r.fail(name.Line, "a key of %s is no plain name", orRoot(path))
			continue
		}
		child := name.Value
		if path != "" {
			child = path + "." + child
		}
		if first, twice := seen[name.Value]; twice {
			r.fail(name.Line, "%s is set a second time, first on line %d; keep one", child, first)
			continue
		}
		seen[name.Value] = name.Line
		r.read(value, child, name.Line)
	}
}

func (r *fileReader) readKey(node *yaml.Node, k key, line int) {
	from := origin{where: fmt.Sprintf("%s:%d", r.name, line), dir: r.dir}
	switch {
	case isNull(node): // As if it were not there.
	case isText(node):
		r.layer.add(k.path, []string{node.Value}, from)
	case node.Kind == yaml.SequenceNode && k.value.list:
		texts := make([]string, 0, len(node.Content))
		for _, item := range node.Content {
			if !isText(item) {
				r.fail(item.Line, "%s has an item that is no plain value, want %s", k.path, k.value.want)
				return
			}
			texts = append(texts, item.Value)
		}
		r.layer.add(k.path, texts, from)
	default:
		r.fail(node.Line, "%s is no plain value, want %s", k.path, k.value.want)
	}
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// isText is true for scalars whose text is what the author typed; explicit and binary tags ask for a conversion.
func isText(node *yaml.Node) bool {
	if node.Kind != yaml.ScalarNode || node.Anchor != "" || node.Style&yaml.TaggedStyle != 0 {
		return false
	}
	return node.ShortTag() != "!!null"
}

func (r *fileReader) find(path string) (key, bool) {
	for _, k := range r.table {
		if k.path == path {
			return k, true
		}
	}
	return key{}, false
}

func (r *fileReader) isSection(path string) bool {
	if path == "" {
		return true
	}
	for _, k := range r.table {
		if strings.HasPrefix(k.path, path+".") {
			return true
		}
	}
	return false
}

// hint says which key was meant by an unknown path, or where to look.
func (r *fileReader) hint(path string) string {
	paths := make([]string, 0, len(r.table)+1)
	paths = append(paths, pluginConfigurationsPath)
	for _, k := range r.table {
		paths = append(paths, k.path)
	}
	if nearest := Nearest(path, paths); nearest != "" {
		return fmt.Sprintf("did you mean %s?", nearest)
	}
	return "`gatehouse config` prints all there are"
}

func orRoot(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}
