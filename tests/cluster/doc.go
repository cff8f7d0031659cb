// Package cluster runs gatehouse as the API server of a cluster: with the real kube-controller-manager, which each of its
// controllers runs with a token and a role of its own, the real kube-scheduler, and kwok in place of nodes and kubelets.
//
// One cluster is started for all tests, which run beside each other in namespaces of their own, as users would: they ask for
// something with kubectl or client-go, and watch until it is there. At the end nobody's log may tell of a request that the server
// refused, did not understand, or answered in a way that its client did not.
package cluster
