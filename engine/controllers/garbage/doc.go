// Package garbage deletes what nobody owns any more, and what has to go before its owner or stay behind it: the garbage
// collector of Kubernetes.
//
// What is decided, and what is asked before, is upstream's (k8s.io/kubernetes/pkg/controller/garbagecollector). How it is known
// what depends on what is not: upstream keeps the metadata of all objects in a graph of its own, which it builds of informers and
// may find behind the truth, so that it remembers owners that it could not find, and looks again at every object and owner through
// the API. Here the objects are in the cache already, and the cache is never behind an acknowledged write. All that is kept beside
// it is an index: for each owner's UID the keys of its dependents, some hundred bytes for each object with an owner and nothing
// for any other. It is brought up to date from the cache's last events, in the order of their commits for each kind, whenever
// something has changed and before it is asked; ownerReferences are read from the encoded metadata, and nothing is decoded.
//
// Kinds come by a list that can change. References to kinds that are not in it are tried again, ever more rarely, as upstream does:
// the kind may come back.
package garbage
