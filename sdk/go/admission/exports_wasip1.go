package admission

import "gatehouse/sdk/go/internal/host"

//go:wasmexport admit
func admit(ptr, n uint32) uint64 { return host.Answer(review(host.Payload(ptr, n))) }
