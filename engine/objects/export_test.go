package objects

import "errors"

// NewCorruptError is what a transformer reports that cannot read an object, for upstream's tests of corrupt objects.
func NewCorruptError() error {
	return &corruptError{kind: untransformable, err: errors.New("bits flipped")}
}
