package read

import (
	"encoding/binary"

	"gatehouse/engine/objects/cache"
)

// Tags of the fields of metav1.WatchEvent, and of the one field of its runtime.RawExtension.
const (
	eventTypeTag   = 0x0a
	eventObjectTag = 0x12
	rawObjectTag   = 0x0a
)

// frameLengthSize is that of the length before each protobuf frame.
const frameLengthSize = 4

// appendJSONFrame writes a watch event about an item.
func (e envelope) appendJSONFrame(to []byte, event string, item cache.Form) []byte {
	to = append(to, `{"type":"`...)
	to = append(to, event...)
	to = append(to, `","object":`...)
	to = e.appendJSON(to, item)
	return append(to, "}\n"...)
}

// appendProtobufFrame writes a watch event about an item, with its length before it.
func (e envelope) appendProtobufFrame(to []byte, event string, item cache.Form) []byte {
	raw := e.protobufSize(item.Len())
	object := fieldSize(raw)
	to = binary.BigEndian.AppendUint32(to, uint32(fieldSize(len(event))+fieldSize(object)))
	to = append(to, eventTypeTag)
	to = binary.AppendUvarint(to, uint64(len(event)))
	to = append(to, event...)
	to = append(to, eventObjectTag)
	to = binary.AppendUvarint(to, uint64(object))
	to = append(to, rawObjectTag)
	to = binary.AppendUvarint(to, uint64(raw))
	return e.appendProtobuf(to, item)
}
