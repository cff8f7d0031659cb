// Package informers gives upstream's code (admission plugins, authorizers, controllers) its listers and informers without a
// second copy of the objects: client-go's informers.SharedInformerFactory, whose every informer reads engine/objects/cache
// instead of listing and watching through HTTP.
//
// # What listers see
//
// A lister sees the present: every write that was acknowledged before it is asked, which is more than client-go promises. It
// needs no Start; HasSynced tells, as with client-go, that a started informer has loaded its collection, or will when it is first
// asked: kinds of which there may be many are not loaded for an informer that has no handlers. Lists come in the order of the keys. Objects are what a typed client would have got from the API, shared and read-only; an object that has
// not changed is the same pointer while it is at hand. Slices that an Indexer returns are shared as well; what typed listers
// return is the caller's.
//
// # What is kept decoded
//
// Which kinds are kept is told by keptWhole: few objects, seldom written, read with nearly every request. Theirs stay decoded,
// lists included, within keptBytes; objects beyond that come and go like all others'. Of all other kinds, pods and secrets
// among them, only those objects stay decoded that were used last, within bulkBytes; lists of them are decoded for whoever asks.
//
// # What handlers are told
//
// Each handler has a goroutine and a place in the collection's events of its own, so that a slow one holds up nobody, neither
// another handler nor the writer. It is told of all events in the order of their commits, decoded when its turn comes. One that
// falls behind further than the cache lets a watcher fall reads on where it was, if the cache or the store's history can still
// tell what came then; otherwise it is told of the difference between what it knew and the present, as client-go does after a
// new list: deletions then come as cache.DeletedFinalStateUnknown. The goroutines end with the context that the factory was started with.
//
// # What cannot be decoded
//
// One broken object does not keep the others from being seen: it is logged and left out of lists, asking for it by name is an
// error, handlers are not told of that state. Its deletion is told, as DeletedFinalStateUnknown without an object.
//
// Informers of metadata (k8s.io/client-go/metadata/metadatainformer) and of unstructured objects (dynamic/dynamicinformer) are
// not made here yet. Both are a Resource with another Decode: the metadata is in the cache as a form of its own, and an
// unstructured object is its JSON form parsed. Their factories hand out informers by resource; a factory of ours would make
// one by newInformer for each.
package informers
