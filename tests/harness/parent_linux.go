package harness

import "syscall"

// endWithParent has the kernel kill the child when this process ends, however it ends: a test that ran into its time limit
// leaves no server behind.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
