package metertest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestTheModulesAreWhatTheirSourcesSay(t *testing.T) {
	tool, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Skip("wat2wasm is not installed (Debian: apt install wabt): cannot compare the .wasm files with their .wat")
	}
	for name, want := range map[string][]byte{"work": Work(), "endless": Endless()} {
		built := filepath.Join(t.TempDir(), name+".wasm")
		if out, err := exec.Command(tool, name+".wat", "-o", built).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		if got, err := os.ReadFile(built); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s.wasm is not what wat2wasm makes of %s.wat (%v): compile it again", name, name, err)
		}
	}
}
