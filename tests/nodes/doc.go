// Package nodes has kubectl and client-go reach containers, nodes and services through the server: logs, exec, attach,
// port-forward, copies and proxies, over websockets and SPDY, to a kubelet that knows the server by its client certificate. It has no
// code but tests.
package nodes
