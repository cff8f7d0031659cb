package read

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// trimming says what no printer looks at in a message, by the numbers of its fields, so that it need not be decoded: nil drops
// a field, another trimming is that of the messages in it. What it does not name stays.
type trimming map[protowire.Number]trimming

// unprinted is what upstream's printers (pkg/printers/internalversion) leave unread of a kind as it is encoded in a version.
// Tests hold it against upstream's tables of every kind, over objects with a value in every field.
func unprinted(kind schema.GroupVersionKind) trimming {
	metadata := trimming{17: nil} // managedFields
	podTemplate := trimming{1: metadata, 2: unprintedOfPodSpec(unprintedOfContainer())}
	value := trimming{2: nil} // of a map's entry; keys are counted
	switch kind.GroupVersion().String() + " " + kind.Kind {
	case "v1 Pod":
		return unprintedOfPod()
	case "v1 Node":
		// In the status: capacity, allocatable, images and volumes.
		return trimming{1: metadata, 3: {1: nil, 2: nil, 8: nil, 9: nil, 10: nil}}
	case "v1 Secret":
		return trimming{1: metadata, 2: value}
	case "v1 ConfigMap":
		return trimming{1: metadata, 2: value, 3: value}
	case "v1 ReplicationController", "apps/v1 Deployment", "apps/v1 ReplicaSet", "apps/v1 StatefulSet":
		return trimming{1: metadata, 2: {3: podTemplate}}
	case "apps/v1 DaemonSet":
		return trimming{1: metadata, 2: {2: podTemplate}}
	case "batch/v1 Job":
		return trimming{1: metadata, 2: {6: podTemplate}}
	default:
		return trimming{1: metadata}
	}
}

func unprintedOfPod() trimming {
	// labels, annotations, ownerReferences, finalizers, managedFields
	metadata := trimming{11: nil, 12: nil, 13: nil, 14: nil, 17: nil}
	container := unprintedOfContainer()
	container[2] = nil // image
	// image, imageID, containerID, resources, volumes, user
	containerStatus := trimming{6: nil, 7: nil, 8: nil, 10: nil, 11: nil, 12: nil, 13: nil, 14: nil}
	// the statuses of ephemeral containers, resource claims and resources, besides
	status := trimming{8: containerStatus, 10: containerStatus, 13: nil, 15: nil, 18: nil, 19: nil, 20: nil, 21: nil, 22: nil}
	spec := unprintedOfPodSpec(container)
	spec[7] = nil // nodeSelector
	return trimming{1: metadata, 2: spec, 3: status}
}

// unprintedOfPodSpec is volumes, containers but for what is printed of them, and most of what says where a pod may run.
func unprintedOfPodSpec(container trimming) trimming {
	return trimming{
		1: nil, 2: container, 14: nil, 15: nil, 18: nil, 20: container, 22: nil, 23: nil, 26: nil, 32: nil, 33: nil, 34: nil,
		39: nil, 40: nil,
	}
}

// unprintedOfContainer is all but name, image, policies and what defaulting would make up again.
func unprintedOfContainer() trimming {
	return trimming{
		3: nil, 4: nil, 5: nil, 6: nil, 7: nil, 8: nil, 9: nil, 10: nil, 11: nil, 12: nil, 15: nil, 19: nil, 21: nil, 22: nil, 23: nil,
		25: nil,
	}
}

// apply appends a message without what is trimmed. It fails on what is no message.
func (t trimming) apply(to, message []byte) ([]byte, error) {
	for len(message) > 0 {
		number, kind, head := protowire.ConsumeTag(message)
		if head < 0 {
			return nil, fmt.Errorf("read a field's tag: %w", protowire.ParseError(head))
		}
		size := protowire.ConsumeFieldValue(number, kind, message[head:])
		if size < 0 {
			return nil, fmt.Errorf("read field %d: %w", number, protowire.ParseError(size))
		}
		field, rest := message[:head+size], message[head+size:]
		within, trimmed := t[number]
		switch {
		case !trimmed:
			to = append(to, field...)
		case within != nil && kind == protowire.BytesType:
			var err error
			if to, err = within.applyField(append(to, field[:head]...), field[head:]); err != nil {
				return nil, fmt.Errorf("in field %d: %w", number, err)
			}
		}
		message = rest
	}
	return to, nil
}

// applyField appends a trimmed message with its length before it. The length takes as much room as the message's had, which
// is more than enough: decoders take it padded.
func (t trimming) applyField(to, field []byte) ([]byte, error) {
	message, size := protowire.ConsumeBytes(field)
	if size < 0 {
		return nil, protowire.ParseError(size)
	}
	room := size - len(message)
	at := len(to)
	to, err := t.apply(append(to, field[:room]...), message)
	if err != nil {
		return nil, err
	}
	length := len(to) - at - room
	for i := range room {
		to[at+i] = byte(length>>(7*i))&0x7f | 0x80
	}
	to[at+room-1] &= 0x7f
	return to, nil
}
