//go:build !unix

package cache

import "errors"

// mapMemory fails: Go's own memory has to do.
func mapMemory(int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapMemory([]byte) error { return errors.ErrUnsupported }
