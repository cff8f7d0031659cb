package read

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

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
	items []cache.Form
	size  int
}

// splice prepares a list of items.
func (s *shape) splice(encoding cache.Encoding, meta *metav1.ListMeta, items []cache.Form) (*spliced, error) {
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
		size += fieldSize(item.Len())
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
			size += item.Len()
		}
	}
	return size
}

func (l *spliced) writeTo(g *gatherer) {
	if l.encoding == cache.Protobuf {
		l.writeProtobuf(g)
	} else {
		l.writeJSON(g)
	}
}

func (l *spliced) writeProtobuf(g *gatherer) {
	scratch := l.shape.list.beginProtobuf(make([]byte, 0, 256), l.messageSize())
	scratch = append(scratch, listMetaTag)
	scratch = binary.AppendUvarint(scratch, uint64(len(l.meta)))
	g.bytes(append(scratch, l.meta...))
	for _, item := range l.items {
		g.bytes(binary.AppendUvarint(append(scratch[:0], listItemsTag), uint64(item.Len())))
		g.form(item)
	}
	g.bytes(protobufTail[:])
}

func (l *spliced) writeJSON(g *gatherer) {
	head := append(make([]byte, 0, 256), l.shape.list.jsonHead...)
	head = append(head, jsonMeta...)
	head = append(head, l.meta...)
	head = append(head, jsonItems...)
	if len(l.items) == 0 {
		head = append(head, l.shape.noItems...)
		g.bytes(append(head, jsonTail...))
		return
	}
	g.bytes(append(head, '['))
	for i, item := range l.items {
		if i > 0 {
			g.bytes([]byte{','})
		}
		l.writeItem(g, item)
	}
	g.bytes([]byte("]" + jsonTail))
}

func (l *spliced) writeItem(g *gatherer, item cache.Form) {
	if l.shape.namedItems {
		g.bytes(l.shape.item.beginJSON(item))
		item = item.Slice(len("{"), item.Len())
	}
	g.form(item)
}
