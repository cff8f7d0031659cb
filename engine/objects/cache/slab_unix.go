//go:build unix

package cache

import "syscall"

// mapMemory takes whole pages from the system. They cost nothing before they are written to.
func mapMemory(size int) ([]byte, error) {
	return syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func unmapMemory(memory []byte) error { return syscall.Munmap(memory) }
