package linear

import (
	"bytes"
	"testing"
)

func TestMemoryGrowsAndKeepsWhatIsInIt(t *testing.T) {
	const page = 64 << 10
	for _, test := range []struct {
		name string
		most uint64
	}{
		{"memory that is reserved", 16 * page},
		{"memory of a size that cannot be reserved", 1 << 63},
		{"memory that may become nothing", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			memory := allocate(0, test.most)
			defer memory.Free()
			if first := memory.Reallocate(0); len(first) != 0 {
				t.Fatalf("got %d bytes, want none", len(first))
			}
			if test.most == 0 {
				return
			}
			copy(memory.Reallocate(page), "kept")
			grown := memory.Reallocate(3 * page)
			if len(grown) != 3*page || cap(grown) < 3*page {
				t.Fatalf("got %d bytes, want %d", len(grown), 3*page)
			}
			if want := append([]byte("kept"), make([]byte, 3*page-4)...); !bytes.Equal(grown, want) {
				t.Error("what was written is lost, or what is new is not zero")
			}
			grown[3*page-1] = 1 // all of it can be written
		})
	}
}
