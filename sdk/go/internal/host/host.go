// Package host is the ABI: memory that host and guest share, and the functions the host provides. Only the SDK uses it.
package host

// Kinds of answers beyond those package gatehouse names.
const Failure = 7

// kindOf and lengthOf take apart what a host function returns.
func kindOf(packed uint64) uint32   { return uint32(packed >> 32) }
func lengthOf(packed uint64) uint32 { return uint32(packed) }
