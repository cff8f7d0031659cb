// Package plugins is the WebAssembly host: it keeps the modules of a folder loaded and makes them members of the server's
// gates. A file name.wasm is the plugin name; name.yaml beside it says which requests concern it and what it may use. A
// Set follows the folder: new, changed and removed files take effect within a second, requests under way finish on the
// revision they began with, and a broken new version leaves the old one serving.
//
// A plugin that is broken, or fails in a call, denies the requests it would have been asked about, unless its failurePolicy
// is Ignore. A file that never loaded denies whatever its name.yaml says it concerns; without one, that is every write.
//
// Sub-packages: sandbox runs one module and knows nothing of Kubernetes; field answers a guest's look-ups. The ABI is
// written down in sdk/SPEC.md. This package implements upstream's gate interfaces and imports nothing of the engine.
package plugins
