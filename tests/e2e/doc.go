// Package e2e drives the built server with the clients that others use: client-go's typed clients in JSON and in protobuf, its
// dynamic client, informers, discovery and leader election, and plain HTTP where clients would not let a mistake through.
//
// Answers that must be kube-apiserver's were recorded from kube-apiserver: see answers_test.go.
package e2e
