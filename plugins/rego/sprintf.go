package rego

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// maxText bounds what a built-in function of the host makes out of its arguments: some can make terabytes of a line.
const maxText = 1 << 20

// errLong answers a call whose result would be longer.
var errLong = fmt.Errorf("the result is longer than %d bytes", maxText)

// sprintf formats as Go does, which is what OPA's own is. It goes verb by verb so that it can end before the text is too long;
// for the same reason it knows neither arguments by number nor widths from arguments.
func sprintf(args []any) (any, error) {
	format, err := text(args[0])
	if err != nil {
		return nil, err
	}
	values, ok := args[1].([]any)
	if !ok {
		return nil, fmt.Errorf("the values to format are %s, not an array", kindOf(args[1]))
	}
	var out strings.Builder
	used := 0
	for rest := format; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		out.WriteString(before)
		if !found {
			break
		}
		verb, err := verbOf(after)
		if err != nil {
			return nil, err
		}
		rest = after[len(verb):]
		switch {
		case verb == "%":
			out.WriteByte('%')
		case used < len(values):
			fmt.Fprintf(&out, "%"+verb, formatted(values[used]))
			used++
		default:
			out.WriteString("%!" + verb[len(verb)-1:] + "(MISSING)")
		}
		if out.Len() > maxText {
			return nil, errLong
		}
	}
	for _, extra := range values[used:] {
		fmt.Fprintf(&out, "%%!(EXTRA %[1]T=%[1]v)", formatted(extra))
	}
	if out.Len() > maxText {
		return nil, errLong
	}
	return out.String(), nil
}

// verbOf returns the flags, width, precision and letter at the front of s.
func verbOf(s string) (string, error) {
	end := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune("+-# 0123456789.", r) })
	switch {
	case end < 0:
		return "", fmt.Errorf("the format ends within a verb: %%%s", s)
	case end > 8:
		return "", fmt.Errorf("the width in %%%.12s is too large", s)
	case s[end] == '[' || s[end] == '*' || s[end] >= 0x80:
		return "", fmt.Errorf("the format has a verb that this server does not know: %%%.12s", s)
	}
	for _, n := range strings.FieldsFunc(s[:end], func(r rune) bool { return r < '0' || r > '9' }) {
		if len(strings.TrimLeft(n, "0")) > 4 {
			return "", fmt.Errorf("the width in %%%.12s is too large", s)
		}
	}
	return s[:end+1], nil
}

// formatted is what Go's fmt is given for a value: whole numbers as such, other numbers as floats, strings as they are, and all else as
// Rego writes it.
func formatted(value any) any {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if n, ok := new(big.Int).SetString(string(v), 10); ok {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return string(v)
	}
	return string(appendValue(nil, value, " "))
}

// kindOf is what Rego calls a value's type.
func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	case set:
		return "set"
	}
	return "object"
}
