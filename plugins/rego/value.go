package rego

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Rego value is one of nil, bool, json.Number, string, []any, set and object: JSON's kinds and sets, and objects whose keys may be
// of any kind. Both directions use the notation of opa_value_dump and opa_value_parse, which alone has sets.

// set is a set, in order.
type set []any

// object is an object, in the order of its keys.
type object []member

type member struct{ key, value any }

// get returns the value under a key that is a string.
func (o object) get(key string) (any, bool) {
	for _, m := range o {
		if m.key == key {
			return m.value, true
		}
	}
	return nil, false
}

// compare orders values as Rego does: by kind, then as one would expect; lists and objects by how they are written.
func compare(a, b any) int {
	if order := rank(a) - rank(b); order != 0 {
		return order
	}
	if x, ok := a.(json.Number); ok {
		m, _ := x.Float64()
		n, _ := b.(json.Number).Float64()
		return cmp.Compare(m, n)
	}
	if x, ok := a.(string); ok {
		return strings.Compare(x, b.(string))
	}
	return bytes.Compare(appendValue(nil, a, ""), appendValue(nil, b, ""))
}

func rank(value any) int {
	return slices.Index([]string{"null", "boolean", "number", "string", "array", "object", "set"}, kindOf(value))
}

// maxDepth bounds how deep values are nested; JSON of Kubernetes objects is a tenth of it.
const maxDepth = 1000

// parseValue reads one value in Rego's notation.
func parseValue(text []byte) (any, error) {
	p := &parser{rest: text}
	value, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); len(p.rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the value", len(p.rest))
	}
	return value, nil
}

type parser struct{ rest []byte }

func (p *parser) space() { p.rest = bytes.TrimLeft(p.rest, " \t\r\n") }

// take removes a token from the front, if it is there.
func (p *parser) take(token string) bool {
	p.space()
	if !bytes.HasPrefix(p.rest, []byte(token)) {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	switch {
	case p.take("null"):
		return nil, nil
	case p.take("true"):
		return true, nil
	case p.take("false"):
		return false, nil
	case p.take("set()"):
		return set{}, nil
	case p.take("["):
		return p.list("]", depth)
	case p.take("{"):
		value, err := p.braces(depth)
		switch v := value.(type) { // the machine's order is none that a reader would know
		case set:
			slices.SortFunc(v, compare)
		case object:
			slices.SortFunc(v, func(a, b member) int { return compare(a.key, b.key) })
		}
		return value, err
	}
	if len(p.rest) == 0 {
		return nil, errors.New("no value")
	}
	if p.rest[0] == '"' {
		return p.text()
	}
	return p.number()
}

// list reads what stands between brackets, the opening one being read.
func (p *parser) list(end string, depth int) ([]any, error) {
	list := []any{}
	if p.take(end) {
		return list, nil
	}
	for {
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
		if p.take(end) {
			return list, nil
		}
		if !p.take(",") {
			return nil, fmt.Errorf("neither , nor %s after an element", end)
		}
	}
}

// braces reads a set or an object: only what follows the first element tells which.
func (p *parser) braces(depth int) (any, error) {
	if p.take("}") {
		return object{}, nil
	}
	first, err := p.value(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.take(":") {
		if p.take("}") {
			return set{first}, nil
		}
		if !p.take(",") {
			return nil, errors.New("neither , nor } after an element")
		}
		rest, err := p.list("}", depth)
		return append(set{first}, rest...), err
	}
	var o object
	for key := first; ; {
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, member{key, value})
		if p.take("}") {
			return o, nil
		}
		if !p.take(",") {
			return nil, errors.New("neither , nor } after a member")
		}
		if key, err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if !p.take(":") {
			return nil, errors.New("no : after a key")
		}
	}
}

func (p *parser) text() (string, error) {
	end := 1
	for end < len(p.rest) && p.rest[end] != '"' {
		if p.rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.rest) {
		return "", errors.New("a string without an end")
	}
	var s string
	if err := json.Unmarshal(p.rest[:end+1], &s); err != nil {
		return "", err
	}
	p.rest = p.rest[end+1:]
	return s, nil
}

func (p *parser) number() (json.Number, error) {
	end := bytes.IndexFunc(p.rest, func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) })
	if end < 0 {
		end = len(p.rest)
	}
	n := json.Number(p.rest[:end])
	if _, err := n.Float64(); err != nil && !errors.Is(err, strconv.ErrRange) {
		return "", fmt.Errorf("no value: %.16q", p.rest)
	}
	p.rest = p.rest[end:]
	return n, nil
}

// appendValue writes a value in Rego's notation. Besides parseValue's kinds it takes what encoding/json makes of an object.
func appendValue(out []byte, value any, separator string) []byte {
	switch v := value.(type) {
	case nil:
		return append(out, "null"...)
	case bool:
		return strconv.AppendBool(out, v)
	case json.Number:
		return append(out, v...)
	case string:
		return appendText(out, v)
	case []any:
		return append(appendList(append(out, '['), v, separator), ']')
	case set:
		if len(v) == 0 {
			return append(out, "set()"...)
		}
		return append(appendList(append(out, '{'), v, separator), '}')
	case map[string]any:
		return appendValue(out, sorted(v), separator)
	case object:
		out = append(out, '{')
		for i, m := range v {
			if i > 0 {
				out = append(append(out, ','), separator...)
			}
			out = append(append(appendValue(out, m.key, separator), ':'), separator...)
			out = appendValue(out, m.value, separator)
		}
		return append(out, '}')
	}
	panic(fmt.Sprintf("no Rego value: %T", value)) // a mistake of a built-in function of ours, which its caller recovers from
}

func appendList(out []byte, list []any, separator string) []byte {
	for i, value := range list {
		if i > 0 {
			out = append(append(out, ','), separator...)
		}
		out = appendValue(out, value, separator)
	}
	return out
}

// appendText writes a string as JSON does, without the escapes that only HTML needs.
func appendText(out []byte, s string) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string can always be encoded
	return append(out, bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))...)
}

func sorted(m map[string]any) object {
	o := make(object, 0, len(m))
	for key, value := range m {
		o = append(o, member{key, value})
	}
	slices.SortFunc(o, func(a, b member) int { return strings.Compare(a.key.(string), b.key.(string)) })
	return o
}
