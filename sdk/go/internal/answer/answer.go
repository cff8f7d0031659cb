// Package answer writes the JSON of reviews' answers. It does so by hand because encoding/json would be the larger part of a
// small plugin. Only the SDK uses it.
package answer

import (
	"strconv"
	"unicode/utf8"
)

// Failure is the answer of a plugin that cannot decide.
func Failure(message string) []byte {
	b := Quote([]byte(`{"apiVersion":"v1","kind":"Status","status":"Failure","message":`), message)
	return append(b, '}')
}

// Begin opens a review of a kind, up to and including the brace of its response or status, whichever member is.
func Begin(apiVersion, kind, member string) []byte {
	b := make([]byte, 0, 512)
	b = Quote(append(b, `{"apiVersion":`...), apiVersion)
	b = Quote(append(b, `,"kind":`...), kind)
	b = Quote(append(b, ','), member)
	return append(b, `:{`...)
}

// End closes what Begin opened.
func End(b []byte) []byte { return append(b, `}}`...) }

// Name appends the name of a member, with a comma where one came before.
func Name(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(Quote(b, name), ':')
}

// Bool appends a member.
func Bool(b []byte, name string, value bool) []byte { return strconv.AppendBool(Name(b, name), value) }

// Text appends a member, unless it is empty.
func Text(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return Quote(Name(b, name), value)
}

// Texts appends a member that is a list, unless it is empty.
func Texts(b []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(Name(b, name), '[')
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = Quote(b, value)
	}
	return append(b, ']')
}

// Quote appends s as a JSON string.
func Quote(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	plain := 0
	for plain < len(s) && isPlain(s[plain]) {
		plain++
	}
	b = append(b, s[:plain]...)
	for _, r := range s[plain:] {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r) // what is no UTF-8 became U+FFFD
		}
	}
	return append(b, '"')
}

// isPlain reports whether a character stands for itself in a JSON string. Nearly all texts hold nothing else.
func isPlain(c byte) bool { return c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' }

// Why is the reason of a failure; there has to be one.
func Why(why string) string {
	if why == "" {
		return "it does not say why"
	}
	return why
}
