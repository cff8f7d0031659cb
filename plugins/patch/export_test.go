package patch

import (
	"reflect"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

// The two ways, for tests that hold them against each other.
var (
	Direct  = direct
	General = general
)

// ReadBothWays reports whether a patch is read without the library, and whether that makes no difference.
func ReadBothWays(text []byte) (plain, same bool) {
	read, err := Parse(text)
	steps, wantErr := jsonpatch.DecodePatch(text)
	if read.text == nil {
		return false, (err == nil) == (wantErr == nil)
	}
	got, ok := read.operations()
	want, wantOK := operations(steps)
	return true, wantErr == nil && read.Len() == len(steps) && ok == wantOK && reflect.DeepEqual(got, want)
}
