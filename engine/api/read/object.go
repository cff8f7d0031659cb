package read

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gatehouse/engine/objects/cache"
)

// Object is a new object of an entry in the Reader's version, without kind and apiVersion: what a typed client makes of the entry's
// place in a list. It is made of the protobuf form if clients have made that already, and makes none by itself: encoding for one look
// would cost more, and the form be one more thing to keep.
func (r *Reader) Object(entry *cache.Entry) (runtime.Object, error) {
	form, found := entry.FormAtHand(r.object.version, cache.Protobuf)
	if !found {
		return r.convert(entry)
	}
	object, err := r.Scope.Creater.New(r.Scope.Kind)
	if err != nil {
		return nil, fmt.Errorf("make an empty %s: %w", r.Scope.Kind, err)
	}
	message, ok := object.(interface{ Unmarshal([]byte) error })
	if !ok {
		return nil, fmt.Errorf("%s has a protobuf form, but a %T cannot be made of it", r.Scope.Kind, object)
	}
	if err := message.Unmarshal(form.AppendTo(make([]byte, 0, form.Len()))); err != nil {
		return nil, fmt.Errorf("decode the protobuf form of %s at revision %d: %w", entry.Key(), entry.Revision(), err)
	}
	return object, nil
}

// convert goes by the object as registries know it.
func (r *Reader) convert(entry *cache.Entry) (runtime.Object, error) {
	internal, err := entry.Object()
	if err != nil {
		return nil, err
	}
	object, err := r.Scope.UnsafeConvertor.ConvertToVersion(internal, r.Scope.Kind.GroupVersion())
	if err != nil {
		return nil, fmt.Errorf("convert %s at revision %d to %s: %w", entry.Key(), entry.Revision(), r.Scope.Kind, err)
	}
	object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return object, nil
}
