package main

import (
	"syscall"
	"time"
	"unsafe"
)

// threadTime is how long the processors have worked for this thread. What else the machine does is not in it, or little.
func threadTime() time.Duration {
	const clockThreadCPU = 3 // CLOCK_THREAD_CPUTIME_ID
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}

// processTime is how long the processors have worked for this process, with its garbage collector.
func processTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // the kernel knows only a bad address as an error
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
