package read

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"

	"gatehouse/engine/objects/cache"
)

// JSON is an object as a GET answers with it, without the line end; nil if there is none. It makes and uses the form that GETs do.
func (r *Reader) JSON(ctx context.Context, namespace, name string) ([]byte, error) {
	key, err := r.Resource.key(request.WithNamespace(ctx, namespace), name)
	if err != nil {
		return nil, err
	}
	view, err := r.Collection.View(ctx)
	if err != nil {
		return nil, err
	}
	entry := view.Get(key)
	if entry == nil {
		return nil, nil
	}
	form, err := entry.Form(r.object.version, cache.JSON)
	if err != nil {
		return nil, err
	}
	return r.object.item.appendJSON(make([]byte, 0, r.object.item.jsonSize(form)), form), nil
}

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
