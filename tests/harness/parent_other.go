//go:build !linux

package harness

import "syscall"

// endWithParent cannot be had here.
func endWithParent() *syscall.SysProcAttr { return nil }
