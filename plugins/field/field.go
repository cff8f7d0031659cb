// Package field answers JSON pointers (RFC 6901) from Go objects as their JSON would, without making that JSON: it follows
// the pointer through structs by their json tags, through maps and slices, and encodes only what it finds. Typed objects
// and unstructured ones are alike to it.
package field

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"gatehouse/plugins/sandbox"
)

// Lookup follows pointer through root, which is a pointer to a struct, a map, an unstructured object or nil. What the JSON
// of root would leave out is absent. It only reads; root may be shared. An error is a malformed pointer, or an object that
// cannot be encoded.
func Lookup(root any, pointer string) (sandbox.Value, error) {
	if pointer != "" && pointer[0] != '/' {
		return sandbox.Value{}, fmt.Errorf("a JSON pointer begins with /")
	}
	at := reflect.ValueOf(content(root))
	for pointer != "" {
		var token string
		token, pointer = next(pointer)
		var found bool
		var err error
		if at, found, err = step(at, token); err != nil || !found {
			return sandbox.Value{}, err
		}
	}
	return encode(at)
}

// Tree is JSON as Go's decoders make it, or any other root for Lookup. It implements sandbox.Fields.
type Tree struct{ Root any }

// Field implements sandbox.Fields.
func (t Tree) Field(pointer string) (sandbox.Value, error) { return Lookup(t.Root, pointer) }

// Parse makes a Tree of JSON. Whole numbers keep all their digits as far as 64 bits reach.
func Parse(data []byte) (Tree, error) {
	var t Tree
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &t.Root); err != nil {
		return Tree{}, fmt.Errorf("decode: %w", err)
	}
	return t, nil
}

// Under reports whether pointer leads into the field that prefix names, and how it goes on from there.
func Under(pointer, prefix string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(pointer, prefix)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// next takes the first token off a pointer that begins with a slash.
func next(pointer string) (token, rest string) {
	token = pointer[1:]
	if i := strings.IndexByte(token, '/'); i >= 0 {
		token, rest = token[:i], token[i:]
	}
	if strings.IndexByte(token, '~') >= 0 {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return token, rest
}

// content looks into objects that hold their JSON as a map.
func content(object any) any {
	if u, ok := object.(*unstructured.Unstructured); ok && u != nil {
		return u.Object
	}
	return object
}

// step goes from a value to its member or element called token.
func step(at reflect.Value, token string) (reflect.Value, bool, error) {
	at, err := plain(at)
	if err != nil || !at.IsValid() {
		return at, false, err
	}
	switch at.Kind() {
	case reflect.Struct:
		entry := value.TypeReflectEntryOf(at.Type()).Fields()[token]
		if entry == nil {
			return at, false, nil
		}
		found := entry.GetFrom(at)
		return found, !entry.CanOmit(found), nil
	case reflect.Map:
		if at.Type().Key().Kind() != reflect.String {
			return at, false, nil
		}
		found := at.MapIndex(reflect.ValueOf(token).Convert(at.Type().Key()))
		return found, found.IsValid(), nil
	case reflect.Slice, reflect.Array:
		i, ok := index(token)
		if !ok || i >= at.Len() || at.Type().Elem().Kind() == reflect.Uint8 { // bytes are a string in JSON
			return at, false, nil
		}
		return at.Index(i), true, nil
	}
	return at, false, nil
}

// index reads an array index as RFC 6901 has it: digits without leading zeros.
func index(token string) (int, bool) {
	if token == "" || token[0] < '0' || token[0] > '9' || len(token) > 1 && token[0] == '0' {
		return 0, false
	}
	i, err := strconv.Atoi(token)
	return i, err == nil
}

// plain takes pointers and interfaces off a value, and turns one that encodes itself (a quantity, a time, raw JSON) into
// what it encodes to. The zero Value is null.
func plain(at reflect.Value) (reflect.Value, error) {
	for at.IsValid() {
		entry := value.TypeReflectEntryOf(at.Type())
		if entry.CanConvertToUnstructured() && !nilled(at) {
			made, err := entry.ToUnstructured(addressable(at))
			return reflect.ValueOf(made), err
		}
		if at.Kind() != reflect.Pointer && at.Kind() != reflect.Interface {
			return at, nil
		}
		at = at.Elem()
	}
	return at, nil
}

// addressable makes methods on the pointer reachable for a value that lies in a map.
func addressable(at reflect.Value) reflect.Value {
	if at.CanAddr() || at.Kind() == reflect.Pointer || at.Kind() == reflect.Interface {
		return at
	}
	copied := reflect.New(at.Type()).Elem()
	copied.Set(at)
	return copied
}

// nilled reports whether a value is nil, which JSON writes as null.
func nilled(at reflect.Value) bool {
	switch at.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return at.IsNil()
	}
	return false
}

// encode writes what was found: text for a string, JSON for everything else.
func encode(at reflect.Value) (sandbox.Value, error) {
	at, err := plain(at)
	if err != nil {
		return sandbox.Value{}, err
	}
	if !at.IsValid() || nilled(at) {
		return sandbox.Value{Kind: sandbox.Null, Text: []byte("null")}, nil
	}
	switch at.Kind() {
	case reflect.String:
		return sandbox.Value{Kind: sandbox.String, Text: []byte(at.String())}, nil
	case reflect.Bool:
		return sandbox.Value{Kind: sandbox.Boolean, Text: strconv.AppendBool(nil, at.Bool())}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return sandbox.Value{Kind: sandbox.Number, Text: strconv.AppendInt(nil, at.Int(), 10)}, nil
	}
	value := at.Interface()
	if texts, is := value.(map[string]string); is {
		if text, ok := encodeTexts(texts); ok {
			return sandbox.Value{Kind: sandbox.Object, Text: text}, nil
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return sandbox.Value{}, fmt.Errorf("encode: %w", err)
	}
	return classify(text)
}

// encodeTexts is json.Marshal of labels, annotations and the like, which plugins ask for most; ok is false when something in them has
// to be escaped.
func encodeTexts(texts map[string]string) (text []byte, ok bool) {
	keys, size := make([]string, 0, len(texts)), len("{}")
	for key, value := range texts {
		if !plainText(key) || !plainText(value) {
			return nil, false
		}
		keys = append(keys, key)
		size += len(key) + len(value) + len(`"":"",`)
	}
	slices.Sort(keys)
	text = append(make([]byte, 0, size), '{')
	for i, key := range keys {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, '"'), key...), `":"`...)
		text = append(append(text, texts[key]...), '"')
	}
	return append(text, '}'), true
}

// plainText reports whether nothing in a text has to be escaped in JSON.
func plainText(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

// classify tells which kind of value a JSON text is.
func classify(text []byte) (sandbox.Value, error) {
	switch text[0] {
	case '{':
		return sandbox.Value{Kind: sandbox.Object, Text: text}, nil
	case '[':
		return sandbox.Value{Kind: sandbox.Array, Text: text}, nil
	case '"':
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return sandbox.Value{}, fmt.Errorf("encode: %w", err)
		}
		return sandbox.Value{Kind: sandbox.String, Text: []byte(s)}, nil
	default:
		return sandbox.Value{Kind: sandbox.Number, Text: text}, nil
	}
}
