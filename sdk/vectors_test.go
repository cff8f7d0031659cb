package sdk_test

import (
	"testing"

	"gatehouse/plugins/plugintest"
)

func TestVectorsOfTheGoSDK(t *testing.T) {
	plugintest.RunVectors(t, plugintest.BuildGo(t, "testdata/vectors"))
}
