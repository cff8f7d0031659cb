package sdk_test

import (
	"os"
	"testing"

	"gatehouse/plugins/plugintest"
	"gatehouse/tests/harness"
)

// compiled is the guest in a directory of testdata, in whatever language. The test is skipped where it cannot be compiled.
func compiled(t testing.TB, guest string) []byte {
	t.Helper()
	file, err := harness.Plugin(t.Context(), "sdk/testdata/"+guest)
	harness.SkipMissing(t, err)
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestVectorsOfTheCSDK(t *testing.T) {
	plugintest.RunVectors(t, compiled(t, "vectors-c"))
}
