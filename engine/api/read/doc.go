// Package read answers GET, LIST and WATCH from encoded bytes: it copies what engine/objects/cache keeps of each object into
// the response and decodes nothing but what the cells of a table show. Upstream's own code makes those bytes, at the first use
// of an object in a version, so that an answer is the one that upstream's handlers would give, byte for byte.
//
// It covers JSON, protobuf and YAML, whole objects, their metadata and tables, plain and compressed answers, and watches over
// HTTP and websockets.
//
// A Reader stands before upstream's handler of a resource and takes only what it is sure of. Whatever it does not cover, and
// every request that upstream would refuse, it leaves to that handler, and counts why: so the wording of errors is upstream's
// because upstream says it. It never begins an answer that it may have to give up. What is left, by the reason in the metric
// gatehouse_reads_total:
//
//   - refused: the answer is an error. That an object is not there is told here all the same.
//   - audit: the audit log keeps this answer, at level RequestResponse, and wants an object to keep.
//   - history: a list at a past revision, or a watch from one, that the cache does not hold any more; the store may.
//   - unreadable: an object does not decode. Upstream's handler tells which one.
//   - unavailable: the request's deadline passed, or the server stops, before there was a view to answer from.
//   - sharding: a feature of upstream's that is off by default.
//   - encoding: CBOR, likewise.
package read
