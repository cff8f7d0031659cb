// Package openapi holds the OpenAPI definitions of the kinds of v1alpha1. The server does not link it: its documents are made
// beforehand, by go generate ./engine/api/openapi.
package openapi
