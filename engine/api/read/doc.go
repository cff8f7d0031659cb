// Package read answers GET, LIST and WATCH from encoded bytes: it copies what engine/objects/cache keeps of each object into
// the response and decodes nothing. Upstream's own code makes those bytes, at the first use of an object in a version, so
// that an answer is the one that upstream's handlers would give, byte for byte.
//
// A Reader stands before upstream's handler of a resource and takes only what it is sure of. Whatever it does not cover, and
// every request that upstream would refuse, it leaves to that handler, and counts why: so the wording of errors is upstream's
// because upstream says it. It never begins an answer that it may have to give up.
package read
