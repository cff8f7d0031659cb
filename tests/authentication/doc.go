// Package authentication drives the built server as each kind of user does, over TLS: by certificate, password, token of every
// kind and through a proxy; and as those do who are to be kept out.
package authentication
