package meter_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"

	"gatehouse/plugins/internal/guesttest"
	"gatehouse/plugins/meter"
	"gatehouse/plugins/meter/metertest"
)

// FuzzRewrite holds that whatever is rewritten stays as valid or invalid as it was.
func FuzzRewrite(f *testing.F) {
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
	f.Add(metertest.Work())
	f.Add(metertest.Endless())
	f.Add(straight(10))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		rewritten, err := meter.Rewrite(wasm)
		var fault *meter.Error
		if err != nil {
			if !errors.As(err, &fault) || fault.Offset > len(wasm) {
				t.Errorf("got %v, want an error that says where", err)
			}
			return // the runtime must not be given this
		}
		if bound := 1<<16 + 40*len(wasm); len(rewritten) > bound {
			t.Errorf("%d bytes became %d", len(wasm), len(rewritten))
		}
		again, err := meter.Rewrite(wasm)
		if err != nil || !bytes.Equal(rewritten, again) {
			t.Errorf("a second time gives something else (%v)", err)
		}
		before, after := compiles(wasm), compiles(rewritten)
		if (before == nil) != (after == nil) && !tolerated(before) {
			t.Errorf("as it was: %v, rewritten: %v", before, after)
		}
	})
}

// compiles says what the runtime finds wrong with a module.
func compiles(wasm []byte) error {
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	_, err := r.CompileModule(ctx, wasm)
	return err
}

// tolerated are the errors in what the rewriter drops.
func tolerated(err error) bool {
	return err != nil && bytes.Contains([]byte(err.Error()), []byte("custom"))
}
