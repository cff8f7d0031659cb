package authentication

import "gatehouse/sdk/go/internal/host"

//go:wasmexport authenticate
func authenticate(ptr, n uint32) uint64 { return host.Answer(review(host.Payload(ptr, n))) }
