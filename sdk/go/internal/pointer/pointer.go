// Package pointer makes JSON pointers (RFC 6901). Only the SDK uses it.
package pointer

import "strings"

// Join is prefix, a pointer already, with path elements below it. It allocates once: a plugin that does little else looks up fields.
func Join(prefix string, elements ...string) string {
	size := len(prefix)
	for _, element := range elements {
		size += len("/") + len(element)
		for i := range len(element) {
			if special(element[i]) {
				size++
			}
		}
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(prefix)
	for _, element := range elements {
		b.WriteByte('/')
		done := 0
		for i := range len(element) {
			if special(element[i]) {
				b.WriteString(element[done:i])
				b.WriteString(escaped(element[i]))
				done = i + 1
			}
		}
		b.WriteString(element[done:])
	}
	return b.String()
}

// special are the characters that must be escaped.
func special(c byte) bool { return c == '~' || c == '/' }

func escaped(special byte) string {
	if special == '~' {
		return "~0"
	}
	return "~1"
}
