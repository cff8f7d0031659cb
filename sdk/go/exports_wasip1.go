package gatehouse

import "gatehouse/sdk/go/internal/host"

//go:wasmexport gatehouse_abi_v1
func marker() {}

//go:wasmexport alloc
func alloc(n uint32) uint32 { return host.Alloc(n) }

//go:wasmexport configure
func exportConfigure(ptr, n uint32) uint64 {
	if err := configure(host.Payload(ptr, n)); err != nil {
		return host.Answer([]byte(err.Error()))
	}
	return 0
}
