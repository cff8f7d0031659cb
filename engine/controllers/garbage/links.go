package garbage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// links is what of an object's metadata ties it to others.
type links struct {
	uid        types.UID
	owners     []metav1.OwnerReference
	finalizers []string
	// deleting says that the object has a deletionTimestamp.
	deleting bool
}

// waitsForDependents says that the object is to go when its dependents have gone.
func (l *links) waitsForDependents() bool {
	return l.deleting && slices.Contains(l.finalizers, metav1.FinalizerDeleteDependents)
}

// waitsForOrphans says that the object is to go when its dependents have been orphaned.
func (l *links) waitsForOrphans() bool {
	return l.deleting && slices.Contains(l.finalizers, metav1.FinalizerOrphanDependents)
}

// owner is the last reference to a UID, nil if there is none.
func (l *links) owner(uid types.UID) *metav1.OwnerReference {
	for i := range slices.Backward(l.owners) {
		if l.owners[i].UID == uid {
			return &l.owners[i]
		}
	}
	return nil
}

// blocks says that the object keeps the owner of a UID from going before it.
func (l *links) blocks(uid types.UID) bool {
	return slices.ContainsFunc(l.owners, func(o metav1.OwnerReference) bool { return o.UID == uid && blocking(&o) })
}

func blocking(o *metav1.OwnerReference) bool {
	return o != nil && o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion
}

// protobufPrefix begins what is stored in Protobuf: behind it is a runtime.Unknown.
const protobufPrefix = "k8s\x00"

// Numbers of fields, of which Kubernetes never changes any.
const (
	unknownRaw       protowire.Number = 2
	objectMetadata   protowire.Number = 1
	metaUID          protowire.Number = 5
	metaDeletion     protowire.Number = 9
	metaOwners       protowire.Number = 13
	metaFinalizers   protowire.Number = 14
	ownerKind        protowire.Number = 1
	ownerName        protowire.Number = 3
	ownerUID         protowire.Number = 4
	ownerAPIVersion  protowire.Number = 5
	ownerController  protowire.Number = 6
	ownerBlocksOwner protowire.Number = 7
)

var errNoMetadata = errors.New("there is no metadata")

// readLinks finds the links in an encoded object: JSON, Protobuf as it is stored, or the Protobuf message of the object itself. What
// it returns shares nothing with content.
func readLinks(content []byte) (links, error) {
	if len(content) > 0 && content[0] == '{' {
		return readJSON(content)
	}
	message := content
	if rest, enveloped := bytes.CutPrefix(content, []byte(protobufPrefix)); enveloped {
		message = nil
		err := fields(rest, func(number protowire.Number, value []byte, _ uint64) error {
			if number == unknownRaw {
				message = value
			}
			return nil
		})
		if err != nil {
			return links{}, err
		}
	}
	var metadata []byte
	err := fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		if number == objectMetadata {
			metadata = value
			return errFound
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errFound):
		return links{}, err
	case metadata == nil:
		return links{}, errNoMetadata
	}
	return readMetadata(metadata)
}

// errFound ends fields early.
var errFound = errors.New("found")

func readMetadata(metadata []byte) (l links, err error) {
	err = fields(metadata, func(number protowire.Number, value []byte, _ uint64) error {
		switch number {
		case metaUID:
			l.uid = types.UID(value)
		case metaDeletion:
			l.deleting = true
		case metaFinalizers:
			l.finalizers = append(l.finalizers, string(value))
		case metaOwners:
			owner, err := readOwner(value)
			if err != nil {
				return err
			}
			l.owners = append(l.owners, owner)
		}
		return nil
	})
	return l, err
}

func readOwner(message []byte) (o metav1.OwnerReference, err error) {
	err = fields(message, func(number protowire.Number, value []byte, truth uint64) error {
		switch number {
		case ownerKind:
			o.Kind = string(value)
		case ownerName:
			o.Name = string(value)
		case ownerUID:
			o.UID = types.UID(value)
		case ownerAPIVersion:
			o.APIVersion = string(value)
		case ownerController:
			o.Controller = new(bool)
			*o.Controller = truth != 0
		case ownerBlocksOwner:
			o.BlockOwnerDeletion = new(bool)
			*o.BlockOwnerDeletion = truth != 0
		}
		return nil
	})
	return o, err
}

// fields calls each with the fields of a message: with the bytes of those that have a length, and with the number of those that are one.
func fields(message []byte, each func(number protowire.Number, value []byte, truth uint64) error) error {
	for len(message) > 0 {
		number, kind, head := protowire.ConsumeTag(message)
		if head < 0 {
			return fmt.Errorf("read a field's tag: %w", protowire.ParseError(head))
		}
		message = message[head:]
		var value []byte
		var truth uint64
		var size int
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			truth, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return fmt.Errorf("read field %d: %w", number, protowire.ParseError(size))
		}
		message = message[size:]
		if err := each(number, value, truth); err != nil {
			return err
		}
	}
	return nil
}

func readJSON(content []byte) (links, error) {
	var object struct {
		Metadata *struct {
			UID               types.UID               `json:"uid"`
			DeletionTimestamp *json.RawMessage        `json:"deletionTimestamp"`
			OwnerReferences   []metav1.OwnerReference `json:"ownerReferences"`
			Finalizers        []string                `json:"finalizers"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(content, &object); err != nil {
		return links{}, fmt.Errorf("read metadata: %w", err)
	}
	m := object.Metadata
	if m == nil {
		return links{}, errNoMetadata
	}
	return links{uid: m.UID, owners: m.OwnerReferences, finalizers: m.Finalizers, deleting: m.DeletionTimestamp != nil}, nil
}

// linksOfObject is for objects that are stored in a way that cannot be looked into.
func linksOfObject(object runtime.Object) (links, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return links{}, err
	}
	return links{
		uid: accessor.GetUID(), owners: accessor.GetOwnerReferences(), finalizers: accessor.GetFinalizers(),
		deleting: accessor.GetDeletionTimestamp() != nil,
	}, nil
}
