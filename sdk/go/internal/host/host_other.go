//go:build !wasip1

package host

import "fmt"

// Fake answers in the host's place where there is none: in tests of a plugin that are not compiled to WebAssembly. Nil
// functions answer that there is nothing.
var Fake struct {
	Field func(pointer string) (kind uint32, text string)
	Call  func(name string, payload []byte) (kind uint32, text string)
}

// Log prints.
func Log(level uint32, text string) { fmt.Println("log", level, text) }

// Field asks Fake.
func Field(pointer string) (kind uint32, text string) {
	if Fake.Field == nil {
		return 0, ""
	}
	return Fake.Field(pointer)
}

// Call asks Fake.
func Call(name string, payload []byte) (kind uint32, text string) {
	if Fake.Call == nil {
		return Failure, "there is no host"
	}
	return Fake.Call(name, payload)
}
