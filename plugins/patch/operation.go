package patch

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	kjson "sigs.k8s.io/json"
)

const (
	// maxOperations bounds what is tried directly: each operation is held against those before it.
	maxOperations = 64
	// maxValue bounds a value, in bytes, so that it cannot nest as deep as decoders allow.
	maxValue = 8 << 10
	// separator stands between the tokens of a path, which may hold anything that a JSON string may, and hardly ever this.
	separator = "\x00"
)

// operation is one step of a patch that the direct way knows.
type operation struct {
	kind   string
	tokens []string
	// path is the tokens, each behind a separator: pointers that mean the same are the same, unlike as they are written.
	path string
	// value is JSON; empty when there is none to have.
	value []byte
}

// The kinds of operations that the direct way knows.
const (
	add     = "add"
	remove  = "remove"
	replace = "replace"
	test    = "test"
)

// operations reads a patch; ok is false when the direct way does not know all of it.
func operations(p jsonpatch.Patch) (all []operation, ok bool) {
	if len(p) > maxOperations {
		return nil, false
	}
	all = make([]operation, len(p))
	for i, raw := range p {
		if !all[i].read(raw) {
			return nil, false
		}
	}
	return all, true
}

func (o *operation) read(raw jsonpatch.Operation) bool {
	pointer, ok := text(raw["path"])
	if !ok || !o.locate(pointer) {
		return false
	}
	if o.kind, ok = text(raw["op"]); !ok {
		return false
	}
	switch o.kind {
	case remove:
	case add, replace, test:
		value := raw["value"]
		if value == nil { // null is none as well
			return false
		}
		o.value = *value
	default:
		return false
	}
	return o.direct()
}

// direct reports whether the direct way may try an operation that has been read.
func (o *operation) direct() bool {
	return len(o.value) <= maxValue && o.path != separator+"kind" && o.path != separator+"apiVersion" // they decide what is decoded
}

// locate reads where the operation is to work; it reports false for a pointer that the direct way does not know.
func (o *operation) locate(pointer string) bool {
	if len(pointer) < 2 || pointer[0] != '/' || strings.Contains(pointer, separator) {
		return false
	}
	o.tokens = strings.Split(pointer[1:], "/")
	if strings.IndexByte(pointer, '~') < 0 {
		o.path = strings.ReplaceAll(pointer, "/", separator)
		return true
	}
	for i, token := range o.tokens {
		if strings.IndexByte(token, '~') >= 0 {
			o.tokens[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		}
	}
	o.path = separator + strings.Join(o.tokens, separator)
	return true
}

// last is the token that names the place in its container.
func (o *operation) last() string { return o.tokens[len(o.tokens)-1] }

// parent is the path of the container.
func (o *operation) parent() string { return o.path[:len(o.path)-len(separator)-len(o.last())] }

// text reads a JSON string; ok is false when it is none.
func text(raw *json.RawMessage) (s string, ok bool) {
	if raw == nil {
		return "", false
	}
	if s, ok = plainText(*raw); ok {
		return s, true
	}
	return s, len(*raw) > 0 && (*raw)[0] == '"' && json.Unmarshal(*raw, &s) == nil
}

// plainText reads a JSON string that holds itself: no escapes, nothing to replace.
func plainText(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; holdsItself(inner) {
		return string(inner), true
	}
	return "", false
}

// holdsItself reports whether a text is the same between the quotes of a JSON string.
func holdsItself(text []byte) bool {
	ascii := true
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(text)
}

// decode makes a value of a type from JSON, as decoding the whole object would; ok is false when it cannot.
func decode(raw []byte, t reflect.Type) (v reflect.Value, ok bool) {
	v = reflect.New(t)
	if shapeOf(t).plainString() {
		if s, ok := plainText(raw); ok {
			v.Elem().SetString(s)
			return v.Elem(), true
		}
	}
	if bytes.Equal(raw, []byte("null")) {
		return v, false
	}
	// What is not looked into is compacted, and its angle brackets are escaped, before it is decoded. Types that keep JSON as it
	// is would show it.
	same, err := json.Marshal(json.RawMessage(raw))
	if err != nil || kjson.UnmarshalCaseSensitivePreserveInts(same, v.Interface()) != nil {
		return v, false
	}
	return v.Elem(), true
}

// matches reports whether the JSON of a value is, to the byte, what a test wants.
func (o *operation) matches(value any) bool {
	encoded, err := json.Marshal(value)
	return err == nil && bytes.Equal(encoded, o.value)
}
