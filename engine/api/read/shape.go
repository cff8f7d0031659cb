package read

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/objects/cache"
)

// shape is how a resource is shown: as what it is, in one served version, or as its metadata alone.
type shape struct {
	// version makes and names the encoded items. Bookmarks, which are in no cache, are encoded by it, too.
	version *cache.Version
	// item is around a single object, list around a list.
	item, list envelope
	// namedItems says that JSON items keep their kind and apiVersion in lists.
	namedItems bool
	// noItems is how JSON spells a list of nothing.
	noItems string
}

// newObjectShape shows objects in the version that codecs encode them to.
func newObjectShape(codecs runtime.NegotiatedSerializer, kind, listKind schema.GroupVersionKind) (*shape, error) {
	s := &shape{noItems: "[]"}
	return s, s.fill(codecs, kind, listKind, func(object runtime.Object) (runtime.Object, error) { return object, nil })
}

// newMetadataShape shows objects' metadata, in a version of meta.k8s.io.
func newMetadataShape(codecs runtime.NegotiatedSerializer, version schema.GroupVersion) (*shape, error) {
	kind := version.WithKind("PartialObjectMetadata")
	// Upstream leaves the items of an empty list unset, and unlike those of any other list.
	s := &shape{namedItems: true, noItems: "null"}
	return s, s.fill(codecs, kind, version.WithKind("PartialObjectMetadataList"), func(object runtime.Object) (runtime.Object, error) {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return nil, fmt.Errorf("find the metadata of %T: %w", object, err)
		}
		partial := meta.AsPartialObjectMetadata(accessor)
		partial.GetObjectKind().SetGroupVersionKind(kind)
		return partial, nil
	})
}

func (s *shape) fill(
	codecs runtime.NegotiatedSerializer, kind, listKind schema.GroupVersionKind, transform func(runtime.Object) (runtime.Object, error),
) (err error) {
	if s.item, err = newEnvelope(kind); err != nil {
		return err
	}
	if s.list, err = newEnvelope(listKind); err != nil {
		return err
	}
	encoders, err := newEncoders(codecs, kind.GroupVersion())
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	s.version = &cache.Version{Encode: func(object runtime.Object, encoding cache.Encoding) ([]byte, error) {
		shown, err := transform(object)
		if err != nil {
			return nil, err
		}
		return s.item.encode(encoders, shown, encoding)
	}}
	return nil
}

// replaceStored lets the cache keep objects in this shape's protobuf form instead of as stored, if the stored bytes are that
// form but for the resourceVersion: that is, in the version in which the resource is stored.
func (s *shape) replaceStored(resource Resource) error {
	if resource.Decorate != nil {
		return nil // its effect would be kept, too
	}
	stored, err := runtime.Encode(resource.Codec, resource.NewObject())
	if err != nil {
		return fmt.Errorf("find out how %s is stored: %w", resource.Prefix, err)
	}
	if _, err := s.item.cutProtobuf(stored); err != nil {
		return nil // in another version, or encoding
	}
	s.version.Decode = func(form cache.Form) (runtime.Object, error) {
		return runtime.Decode(resource.Codec, s.item.appendProtobuf(make([]byte, 0, s.item.protobufSize(form.Len())), form))
	}
	return nil
}

// encoders are upstream's, by encoding.
type encoders map[cache.Encoding]runtime.Encoder

// newEncoders makes those that upstream's handlers use for answers in a version.
func newEncoders(codecs runtime.NegotiatedSerializer, version schema.GroupVersion) (encoders, error) {
	made := encoders{}
	for mediaType, encoding := range map[string]cache.Encoding{
		runtime.ContentTypeJSON:     cache.JSON,
		runtime.ContentTypeProtobuf: cache.Protobuf,
	} {
		info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), mediaType)
		if !ok {
			return nil, fmt.Errorf("%s has no serializer for %s", version, mediaType)
		}
		made[encoding] = codecs.EncoderForVersion(info.Serializer, version)
	}
	return made, nil
}

// encode makes the item of an object. It fails if the object is not of the envelope's kind.
func (e envelope) encode(encoders encoders, object runtime.Object, encoding cache.Encoding) ([]byte, error) {
	var encoded bytes.Buffer
	if err := encoders[encoding].Encode(object, &encoded); err != nil {
		return nil, fmt.Errorf("encode a %T: %w", object, err)
	}
	if encoding == cache.Protobuf {
		return e.cutProtobuf(encoded.Bytes())
	}
	return e.cutJSON(encoded.Bytes())
}

// append puts an item into the envelope as a whole answer.
func (e envelope) append(to []byte, item cache.Form, encoding cache.Encoding) []byte {
	if encoding == cache.Protobuf {
		return e.appendProtobuf(to, item)
	}
	return append(e.appendJSON(to, item), '\n')
}

// appendFrame writes a watch event about an item.
func (e envelope) appendFrame(to []byte, event string, item cache.Form, encoding cache.Encoding) []byte {
	if encoding == cache.Protobuf {
		return e.appendProtobufFrame(to, event, item)
	}
	return e.appendJSONFrame(to, event, item)
}
