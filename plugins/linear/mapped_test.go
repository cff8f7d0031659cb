//go:build linux || darwin

package linear

import "testing"

func TestReservedMemoryDoesNotMoveNorOutgrowItsLimit(t *testing.T) {
	memory, ok := allocate(0, 1<<20).(*mapped)
	if !ok {
		t.Skip("this system reserves no memory")
	}
	defer memory.Free()
	before, after := memory.Reallocate(1<<16), memory.Reallocate(1<<20)
	if &before[0] != &after[0] {
		t.Error("memory has moved")
	}
	if memory.Reallocate(1<<20+1) != nil {
		t.Error("memory has outgrown what was reserved")
	}
}
