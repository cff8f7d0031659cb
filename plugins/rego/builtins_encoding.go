package rego

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/url"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// encodingBuiltins encode, decode and digest strings.
func encodingBuiltins() map[string]builtin {
	pure := func(f func(string) string) builtin {
		return ofText(func(s string) (string, error) { return f(s), nil })
	}
	return map[string]builtin{
		"hex.encode":              pure(func(s string) string { return hex.EncodeToString([]byte(s)) }),
		"hex.decode":              ofText(func(s string) (string, error) { b, err := hex.DecodeString(s); return string(b), err }),
		"base64url.encode_no_pad": pure(func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }),
		"urlquery.encode":         pure(url.QueryEscape),
		"urlquery.decode":         ofText(url.QueryUnescape),
		"crypto.sha256":           pure(func(s string) string { d := sha256.Sum256([]byte(s)); return hex.EncodeToString(d[:]) }),
		"crypto.sha1":             pure(func(s string) string { d := sha1.Sum([]byte(s)); return hex.EncodeToString(d[:]) }),
		"crypto.md5":              pure(func(s string) string { d := md5.Sum([]byte(s)); return hex.EncodeToString(d[:]) }),
		"crypto.hmac.sha512":      of(2, hmacOf(sha512.New)),
		"crypto.hmac.sha256":      of(2, hmacOf(sha256.New)),
		"crypto.hmac.sha1":        of(2, hmacOf(sha1.New)),
		"crypto.hmac.md5":         of(2, hmacOf(md5.New)),
		"crypto.hmac.equal":       of(2, hmacEqual),
		"urlquery.encode_object":  of(1, encodeQuery),
		"urlquery.decode_object":  of(1, decodeQuery),
		"yaml.is_valid":           isText(func(s string) bool { _, err := yaml.YAMLToJSON([]byte(s)); return err == nil }),
		"yaml.unmarshal":          of(1, yamlDecode),
		"yaml.marshal":            of(1, yamlEncode),
	}
}

// hmacOf makes a builtin (text, key) of a hash.
func hmacOf(newHash func() hash.Hash) func([]any) (any, error) {
	return func(args []any) (any, error) {
		both, err := texts(args)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(newHash, []byte(both[1]))
		mac.Write([]byte(both[0]))
		return hex.EncodeToString(mac.Sum(nil)), nil
	}
}

func hmacEqual(args []any) (any, error) {
	both, err := texts(args)
	if err != nil {
		return nil, err
	}
	return hmac.Equal([]byte(both[0]), []byte(both[1])), nil
}

func encodeQuery(args []any) (any, error) {
	query, ok := args[0].(object)
	if !ok {
		return nil, fmt.Errorf("an argument is %s, not object", kindOf(args[0]))
	}
	values := url.Values{}
	for _, m := range query {
		name, err := text(m.key)
		if err != nil {
			return nil, err
		}
		if values[name], err = texts(m.value); err != nil {
			return nil, err
		}
	}
	return values.Encode(), nil
}

func decodeQuery(args []any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(s)
	if err != nil {
		return nil, err
	}
	decoded := make(map[string]any, len(values))
	for name, list := range values {
		decoded[name] = listOf(list)
	}
	return sorted(decoded), nil
}

func yamlDecode(args []any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	converted, err := yaml.YAMLToJSON([]byte(s))
	if err != nil {
		return nil, err
	}
	if len(converted) > maxText {
		return nil, errLong
	}
	return parseJSON(converted)
}

// parseJSON reads a value, whose numbers stay as they are.
func parseJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("there is more than one value")
	}
	return value, nil
}

// yamlEncode reads the value as YAML, which JSON is, and writes it in YAML's own style.
func yamlEncode(args []any) (any, error) {
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(appendValue(nil, asJSON(args[0]), " "), &document); err != nil {
		return nil, err
	}
	plain(&document)
	var out bytes.Buffer
	encoder := yamlv3.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return nil, err
	}
	return out.String(), nil
}

// plain takes brackets and quotes away where they are not needed.
func plain(node *yamlv3.Node) {
	node.Style = 0
	for _, child := range node.Content {
		plain(child)
	}
}

// asJSON makes arrays of sets, and strings of keys, as OPA does where only JSON will do.
func asJSON(value any) any {
	each := func(list []any) []any {
		out := make([]any, len(list))
		for i, element := range list {
			out[i] = asJSON(element)
		}
		return out
	}
	switch v := value.(type) {
	case []any:
		return each(v)
	case set:
		return each(v)
	case object:
		out := make(object, len(v))
		for i, m := range v {
			key, ok := m.key.(string)
			if !ok {
				key = string(appendValue(nil, m.key, ""))
			}
			out[i] = member{key, asJSON(m.value)}
		}
		return out
	}
	return value
}
