// Package admission drives the built server as writers do whose writes are changed or refused: by each admission plugin of
// kube-apiserver's that is on by default, by webhooks that behave and misbehave, by policies, and by WebAssembly plugins among them.
package admission
