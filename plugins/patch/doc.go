// Package patch applies JSON patches (RFC 6902) to Kubernetes objects, with what upstream's dispatcher of webhooks makes of them:
// the object is encoded, the patch is applied to the JSON, that is decoded into a new object, and this is defaulted.
//
// That costs some fifty times what a plugin does besides. So there is a direct way, which copies the object and changes the
// copy at the places that the patch names. It is taken only where it is sure to end up with the same object: where encoding
// and decoding would leave the rest of the object as it is, and where what the patch says of a place can be said of the Go
// value there. Everything else, errors above all, is left to the general way. A fuzz test holds the two against each other.
package patch
