//go:build !wasip1

package gatehouse

import "embed"

// Source is this module's files, for tools that put them beside a plugin's own: a plugin then needs no network to be compiled.
//
//go:embed go.mod *.go admission authentication authorization internal
var Source embed.FS
