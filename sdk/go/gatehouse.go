// Package gatehouse is what a gatehouse plugin written in Go needs whatever its role: look-ups in the review it works on, the
// server's log, and its settings. Sub-packages hold the roles: importing one makes the plugin play it.
//
// A plugin is a main package with an empty main, built as a reactor:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o name.wasm .
//
// It registers its handler in an init function; main is never called. A plugin runs one call at a time and is thrown away
// after a panic, so it may keep state in variables, as a cache, but must not rely on it.
package gatehouse

import (
	"fmt"
	"strconv"

	"gatehouse/sdk/go/internal/host"
	"gatehouse/sdk/go/internal/pointer"
)

// Kind is the JSON type of a Value.
type Kind uint32

const (
	Absent Kind = iota
	Null
	Boolean
	Number
	String
	Array
	Object
)

// Value is what Field found.
type Value struct {
	kind Kind
	text string
}

// Field looks up a JSON pointer (RFC 6901) in the review at hand, "/request/object/metadata/name" for one, or in the settings
// while OnConfigure's function is at work. The server
// answers from the object it has already decoded, which is far cheaper than parsing the review here.
// A pointer that leads nowhere gives a Value that does not exist; a malformed one panics.
func Field(pointer string) Value {
	kind, text := host.Field(pointer)
	if kind == host.Failure {
		panic("gatehouse: " + text)
	}
	return Value{kind: Kind(kind), text: text}
}

// Kind is Absent when there is nothing at the pointer.
func (v Value) Kind() Kind { return v.kind }

// Exists reports whether there is something at the pointer, be it null.
func (v Value) Exists() bool { return v.kind != Absent }

// Text is a string's content, without quotes; true, false, null or a number as JSON has it; an array or object as JSON;
// and "" when there is nothing.
func (v Value) Text() string { return v.text }

// Bool reports whether the value is true.
func (v Value) Bool() bool { return v.kind == Boolean && v.text == "true" }

// Texts are the elements of the array at a JSON pointer, as Value.Text has them. What is no array has none.
func Texts(pointer string) []string {
	var texts []string
	for {
		v := Field(pointer + "/" + strconv.Itoa(len(texts)))
		if !v.Exists() {
			return texts
		}
		texts = append(texts, v.Text())
	}
}

// Pointer makes a JSON pointer of path elements, escaping what needs it:
//
//	Pointer("metadata", "labels", "app.kubernetes.io/name") // /metadata/labels/app.kubernetes.io~1name
func Pointer(elements ...string) string { return pointer.Join("", elements...) }

// Level of a log message.
type Level uint32

const (
	Debug Level = iota
	Info
	Warn
	Error
)

// Log writes one line to the server's log, which names the plugin. A call may log 16 KiB; more is dropped and counted.
func Log(level Level, format string, args ...any) {
	host.Log(uint32(level), fmt.Sprintf(format, args...))
}

// Call asks the server for something that is not the plugin's to have by itself. Which names exist and what they may be
// asked is the server's configuration; an unknown one is an error.
func Call(name string, payload []byte) ([]byte, error) {
	kind, text := host.Call(name, payload)
	if kind == host.Failure {
		return nil, fmt.Errorf("%s", text)
	}
	return []byte(text), nil
}
