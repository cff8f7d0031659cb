package plugins

import (
	"gatehouse/plugins/inspect"
)

// nature is what the bytes of a module tell of it.
type nature struct{ abi, language string }

func natureOf(wasm []byte) nature {
	if len(wasm) == 0 {
		return nature{}
	}
	abi, language := inspect.Nature(wasm)
	return nature{abi, language}
}
