package authorization

import "gatehouse/sdk/go/internal/host"

//go:wasmexport authorize
func authorize(ptr, n uint32) uint64 { return host.Answer(review(host.Payload(ptr, n))) }
