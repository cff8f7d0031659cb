package read

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatehouse/engine/objects/cache"
)

// Tags of the two fields of every list.
const (
	listMetaTag  = 0x0a
	listItemsTag = 0x12
)

// spliced is a list ready to be sent: everything that can fail has been done, and its size is known.
type spliced struct {
	shape    *shape
	encoding cache.Encoding
	// meta is the encoded ListMeta.
	meta  []byte
	items [][]byte
	size  int
}

// splice prepares a list of items.
func (s *shape) splice(encoding cache.Encoding, meta *metav1.ListMeta, items [][]byte) (*spliced, error) {
	l := &spliced{shape: s, encoding: encoding, items: items}
	var err error
	if encoding == cache.Protobuf {
		l.meta, err = meta.Marshal()
		l.size = s.list.protobufSize(l.messageSize())
	} else {
		l.meta, err = json.Marshal(meta)
		l.size = l.jsonSize()
	}
	if err != nil {
		return nil, fmt.Errorf("encode the list's metadata: %w", err)
	}
	return l, nil
}

// messageSize is that of the list's own protobuf message.
func (l *spliced) messageSize() int {
	size := fieldSize(len(l.meta))
	for _, item := range l.items {
		size += fieldSize(len(item))
	}
	return size
}

const (
	jsonMeta  = `,"metadata":`
	jsonItems = `,"items":`
	jsonTail  = "}\n"
)

func (l *spliced) jsonSize() int {
	size := len(l.shape.list.jsonHead) + len(jsonMeta) + len(l.meta) + len(jsonItems) + len(jsonTail)
	if len(l.items) == 0 {
		return size + len(l.shape.noItems)
	}
	size += len(l.items) + 1 // brackets, and commas between
	for _, item := range l.items {
		if l.shape.namedItems {
			size += l.shape.item.jsonSize(item)
		} else {
			size += len(item)
		}
	}
	return size
}

// writeTo sends the list. w should gather small writes.
func (l *spliced) writeTo(w io.Writer) error {
	if l.encoding == cache.Protobuf {
		return l.writeProtobuf(w)
	}
	return l.writeJSON(w)
}

func (l *spliced) writeProtobuf(w io.Writer) error {
	scratch := l.shape.list.beginProtobuf(make([]byte, 0, 256), l.messageSize())
	scratch = append(scratch, listMetaTag)
	scratch = binary.AppendUvarint(scratch, uint64(len(l.meta)))
	scratch = append(scratch, l.meta...)
	for _, item := range l.items {
		scratch = append(scratch, listItemsTag)
		scratch = binary.AppendUvarint(scratch, uint64(len(item)))
		if err := writeBoth(w, scratch, item); err != nil {
			return err
		}
		scratch = scratch[:0]
	}
	return writeBoth(w, scratch, protobufTail[:])
}

func (l *spliced) writeJSON(w io.Writer) error {
	scratch := append(make([]byte, 0, 256), l.shape.list.jsonHead...)
	scratch = append(scratch, jsonMeta...)
	scratch = append(scratch, l.meta...)
	scratch = append(scratch, jsonItems...)
	if len(l.items) == 0 {
		scratch = append(scratch, l.shape.noItems...)
		return writeBoth(w, scratch, []byte(jsonTail))
	}
	scratch = append(scratch, '[')
	for _, item := range l.items {
		if l.shape.namedItems {
			scratch = l.shape.item.appendJSON(scratch, item)
			item = nil
		}
		if err := writeBoth(w, scratch, item); err != nil {
			return err
		}
		scratch = append(scratch[:0], ',')
	}
	return writeBoth(w, []byte("]"), []byte(jsonTail))
}

func writeBoth(w io.Writer, first, second []byte) error {
	if _, err := w.Write(first); err != nil {
		return err
	}
	_, err := w.Write(second)
	return err
}
