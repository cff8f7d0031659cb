package sdk_test

import (
	"testing"

	"gatehouse/plugins/plugintest"
)

func TestVectorsOfTheRustSDK(t *testing.T) {
	plugintest.RunVectors(t, compiled(t, "vectors-rust"))
}
