// Package plugins is the WebAssembly host: it keeps the modules of a folder loaded and makes them members of the server's
// gates. A file name.wasm is the plugin name; name.yaml beside it says which requests concern it and what it may use. A
// Set follows the folder: new, changed and removed files take effect within a second, requests under way finish on the
// revision they began with, and a broken new version leaves the old one serving.
//
// A plugin that is broken, or fails in a call, denies the requests it would have been asked about, unless its failurePolicy
// is Ignore. A file that never loaded denies whatever concerns it: what its name.yaml says, where that says nothing what the module's author
// says in a custom section, and otherwise every write. The author is heard only once the module is the one that its operator has vouched for
// and the section can be read; an operator whose name.yaml cannot be read may have wanted the plugin to be asked about anything.
//
// Sub-packages: sandbox runs one module and knows nothing of Kubernetes; field answers a guest's look-ups. The ABI is
// written down in sdk/SPEC.md. This package implements upstream's gate interfaces and imports nothing of the engine.
package plugins
