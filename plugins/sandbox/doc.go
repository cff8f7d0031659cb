// Package sandbox runs one WebAssembly guest safely: it checks a module's exports, compiles it, keeps a bounded pool of
// its instances, moves payloads in and answers out with every bound checked, and answers the functions a guest imports.
// The ABI it speaks is written down in sdk/SPEC.md; guests of other ecosystems are spoken to by a Protocol of theirs, under the same
// limits.
//
// It knows nothing of Kubernetes, of files or of configuration: what a payload means, and which objects answer field
// look-ups, is its caller's business. Kubernetes' gates are adapted in package plugins.
package sandbox
