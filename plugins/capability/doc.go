// Package capability is what plugins can ask of the server besides their review: to read objects, ask who may do what, verify
// tokens and certificates, fetch a URL, and keep something for a while. A plugin has none of it unless its configuration
// says so, and then as much as that says: the way goes from the plugin's name to its grants, and none leads from what a guest
// sends to anybody else's. sdk/SPEC.md has the operations' payloads and answers.
//
// The package knows no server: what operations need of one is behind the small interfaces of Host.
package capability
