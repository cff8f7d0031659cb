package sandbox_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/sandbox"
)

// FuzzLoad loads and runs whatever it is given: each module must end as an answer or a fault, within its limits.
func FuzzLoad(f *testing.F) {
	fixtures, err := filepath.Glob(filepath.Join(guesttest.Dir(), "*.wasm"))
	if err != nil || len(fixtures) == 0 {
		f.Fatalf("no fixtures found: %v", err)
	}
	for _, path := range fixtures {
		wasm, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wasm)
	}
	limits := sandbox.Limits{Memory: 1 << 20, Deadline: 5 * time.Millisecond, Start: 5 * time.Millisecond, Output: 1 << 16, Instances: 1}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := sandbox.Load(context.Background(), wasm, sandbox.Options{Limits: limits, Logger: quiet()})
		if err == nil {
			defer m.Close()
			if len(m.Roles()) == 0 {
				t.Error("a module without a role was loaded")
			}
			err = m.Call(context.Background(), m.Roles()[0], sandbox.Request{Payload: []byte("{}")}, func([]byte) error { return nil })
		}
		var fault *sandbox.Fault
		if err != nil && !errors.As(err, &fault) {
			t.Errorf("got %v, want a fault", err)
		}
	})
}
