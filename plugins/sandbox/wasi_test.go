package sandbox

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"
)

// at returns an instance whose deadline is a time from now.
func at(t *testing.T, left time.Duration) *instance {
	t.Helper()
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(left))
	t.Cleanup(cancel)
	return &instance{work: work{ctx: ctx}}
}

func TestRandomnessFillsAnyBufferWhileThereIsTime(t *testing.T) {
	buffer := make([]byte, 5*randomPiece+1)
	if n, err := io.ReadFull(randomness{at(t, time.Hour)}, buffer); err != nil || n != len(buffer) {
		t.Fatalf("got %d bytes (%v), want %d", n, err, len(buffer))
	}
	if tail := buffer[len(buffer)-64:]; bytes.Equal(tail, make([]byte, 64)) {
		t.Error("the buffer's end is all zeros")
	}
	if n, err := io.ReadFull(randomness{at(t, -time.Hour)}, buffer); err == nil || n != 0 {
		t.Errorf("a guest that is overdue got %d bytes (%v), want none", n, err)
	}
}

func TestAGuestWritesSpansWhileThereIsTime(t *testing.T) {
	for _, test := range []struct {
		name     string
		left     time.Duration
		complete bool
	}{
		{"a guest in time", time.Hour, true},
		{"a guest that is overdue", -time.Hour, false},
	} {
		var to text
		s := &stream{in: at(t, test.left), to: &to}
		failed := 0
		for range 3 * writePieces {
			if _, err := s.Write([]byte("x")); err != nil {
				failed++
			}
		}
		if complete := failed == 0; complete != test.complete {
			t.Errorf("%s: %d of %d writes failed", test.name, failed, 3*writePieces)
		}
	}
}
