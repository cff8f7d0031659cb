// Package sdk holds the sources of the SDKs for C, Rust and AssemblyScript, so that `gatehouse plugin new` can put into a project what
// it needs, and of the version that goes with the server. That for Go is a module of its own, and holds its sources itself.
package sdk

import "embed"

// Sources are the SDKs' files, each SDK in a directory that is named after its language.
//
//go:embed c/*.c c/*.h rust/Cargo.toml rust/README.md rust/src assemblyscript/*.ts assemblyscript/*.json assemblyscript/globals
var Sources embed.FS
