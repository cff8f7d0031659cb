package conformance

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// lineWidth is how long a value may get before its members get lines of their own.
const lineWidth = 120

// render writes a JSON value for people to read and diffs to find their place in: members in the order of their names, small
// values on one line.
func render(value any) string {
	var out strings.Builder
	renderValue(&out, "", "", value)
	return out.String()
}

// renderValue writes a value that is called key, at an indentation.
func renderValue(out *strings.Builder, indent, key string, value any) {
	short := inline(value)
	if len(indent)+len(short) <= lineWidth || onOneLine(key) {
		out.WriteString(short)
		return
	}
	switch value := value.(type) {
	case map[string]any:
		out.WriteString("{")
		separator := "\n"
		for _, name := range slices.Sorted(maps.Keys(value)) {
			out.WriteString(separator + indent + "  " + inline(name) + ": ")
			renderValue(out, indent+"  ", name, value[name])
			separator = ",\n"
		}
		out.WriteString("\n" + indent + "}")
	case []any:
		out.WriteString("[")
		separator := "\n"
		for _, element := range value {
			out.WriteString(separator + indent + "  ")
			renderValue(out, indent+"  ", elementOf(key), element)
			separator = ",\n"
		}
		out.WriteString("\n" + indent + "]")
	default:
		out.WriteString(short)
	}
}

func elementOf(key string) string { return "element of " + key }

// onOneLine says what nobody reads member by member.
func onOneLine(key string) bool {
	return key == elementOf("managedFields") || key == elementOf("columnDefinitions")
}

// inline is the value on one line.
func inline(value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err.Error() // what was decoded from JSON can be encoded again
	}
	return strings.TrimSuffix(text.String(), "\n")
}
