package read

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/objects/cache"
)

// protobufPrefix begins every protobuf answer of Kubernetes.
const protobufPrefix = "k8s\x00"

// Tags of the fields of runtime.Unknown, in the order in which upstream writes them.
const (
	typeMetaTag        = 0x0a
	rawTag             = 0x12
	contentEncodingTag = 0x1a
	contentTypeTag     = 0x22
)

// protobufTail is runtime.Unknown's empty contentEncoding and contentType, which upstream writes all the same.
var protobufTail = [...]byte{contentEncodingTag, 0, contentTypeTag, 0}

// envelope is what an encoded object carries around its fields when it stands alone: its kind and apiVersion. In a list it
// has none, so that the cache keeps objects without, as items; the envelope is put around them as they are sent. Appending
// and cutting never fail on what was encoded for this envelope's kind, and share no bytes with what they are given.
type envelope struct {
	// jsonHead is `{"kind":"Pod","apiVersion":"v1"`.
	jsonHead []byte
	// jsonBegin is the same with a comma, for objects that have any other field.
	jsonBegin []byte
	// protobufHead is everything before the object's own field.
	protobufHead []byte
}

func newEnvelope(kind schema.GroupVersionKind) (envelope, error) {
	head, err := json.Marshal(struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
	}{kind.Kind, kind.GroupVersion().String()})
	if err != nil {
		return envelope{}, fmt.Errorf("encode the type of %s: %w", kind, err)
	}
	typeMeta, err := (&runtime.TypeMeta{Kind: kind.Kind, APIVersion: kind.GroupVersion().String()}).Marshal()
	if err != nil {
		return envelope{}, fmt.Errorf("encode the type of %s: %w", kind, err)
	}
	protobufHead := append([]byte(protobufPrefix), typeMetaTag)
	protobufHead = binary.AppendUvarint(protobufHead, uint64(len(typeMeta)))
	return envelope{
		jsonHead:     slices.Clip(head[:len(head)-1]),
		jsonBegin:    append(slices.Clip(head[:len(head)-1]), ','),
		protobufHead: append(protobufHead, typeMeta...),
	}, nil
}

// appendJSON puts an item into the envelope, without a line end.
func (e envelope) appendJSON(to []byte, item cache.Form) []byte {
	to = append(to, e.beginJSON(item)...)
	return item.Slice(len("{"), item.Len()).AppendTo(to)
}

// beginJSON is what takes the place of an item's opening brace; it must not be changed.
func (e envelope) beginJSON(item cache.Form) []byte {
	if item.Len() > len("{}") {
		return e.jsonBegin
	}
	return e.jsonHead
}

// jsonSize is by how much appendJSON lengthens.
func (e envelope) jsonSize(item cache.Form) int {
	return len(e.beginJSON(item)) + item.Len() - len("{")
}

// cutJSON takes an encoded object out of its envelope and returns the item, which has memory of its own.
func (e envelope) cutJSON(encoded []byte) ([]byte, error) {
	rest, found := bytes.CutPrefix(bytes.TrimSuffix(encoded, []byte("\n")), e.jsonHead)
	switch {
	case found && bytes.HasPrefix(rest, []byte(`,"`)) && rest[len(rest)-1] == '}':
		item := bytes.Clone(rest)
		item[0] = '{'
		return item, nil
	case found && string(rest) == "}":
		return []byte("{}"), nil
	default:
		return nil, fmt.Errorf("encoded object begins with %.60q instead of %q", encoded, e.jsonHead)
	}
}

// appendProtobuf puts an item into the envelope.
func (e envelope) appendProtobuf(to []byte, item cache.Form) []byte {
	to = e.beginProtobuf(to, item.Len())
	to = item.AppendTo(to)
	return append(to, protobufTail[:]...)
}

// beginProtobuf writes what comes before a message of the given size; protobufTail comes after it.
func (e envelope) beginProtobuf(to []byte, size int) []byte {
	to = append(to, e.protobufHead...)
	to = append(to, rawTag)
	return binary.AppendUvarint(to, uint64(size))
}

// protobufSize is by how much appendProtobuf lengthens, for an item of the given size.
func (e envelope) protobufSize(size int) int {
	return len(e.protobufHead) + fieldSize(size) + len(protobufTail)
}

// cutProtobuf takes an encoded object out of its envelope and returns the item, which has memory of its own.
func (e envelope) cutProtobuf(encoded []byte) ([]byte, error) {
	rest, found := bytes.CutPrefix(encoded, e.protobufHead)
	if !found || len(rest) == 0 || rest[0] != rawTag {
		return nil, fmt.Errorf("encoded object begins with %.60q instead of %q", encoded, e.protobufHead)
	}
	size, n := binary.Uvarint(rest[1:])
	if n <= 0 || size > uint64(len(rest)) {
		return nil, fmt.Errorf("encoded object of %d bytes has no readable size", len(encoded))
	}
	rest = rest[1+n:]
	if !bytes.Equal(rest[min(int(size), len(rest)):], protobufTail[:]) {
		return nil, fmt.Errorf("encoded object of %d bytes does not end after its %d bytes of fields", len(encoded), size)
	}
	return bytes.Clone(rest[:size]), nil
}

// fieldSize is what a length-delimited protobuf field of the given size takes, if its number is below 16.
func fieldSize(size int) int {
	return 1 + uvarintSize(size) + size
}

func uvarintSize(value int) int {
	return (bits.Len64(uint64(value)|1) + 6) / 7
}
