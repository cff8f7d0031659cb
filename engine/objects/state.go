package objects

import (
	"context"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/storage"
)

// state is one object as the store held it at one revision, or as a caller believes it does.
type state struct {
	// object is nil when it cannot be read and the caller expects that.
	object runtime.Object
	// data is object encoded.
	data []byte
	// revision is that of the last write; 0 means the key holds nothing and object is empty.
	revision int64
	// stale asks for a write even if nothing changes.
	stale bool
	// current says that the state was read from the store and not suggested by the caller.
	current bool
}

// target is the key that a write is about, and how its states are to be read.
type target struct {
	store *Store
	key   string
	// like is an object of the type to read into; it is not touched.
	like runtime.Object
	// mayBeAbsent turns an absent key into the state of an empty object.
	mayBeAbsent bool
	// mustBeCorrupt refuses objects that can be read.
	mustBeCorrupt bool
}

// first is the state to try first: the caller's suggestion if there is one.
func (t target) first(ctx context.Context, suggestion runtime.Object) (*state, error) {
	if suggestion == nil || t.mustBeCorrupt {
		return t.load(ctx)
	}
	return t.suggested(suggestion)
}

// load reads the current state.
func (t target) load(ctx context.Context) (*state, error) {
	item, _, err := t.store.read(ctx, t.key)
	if err != nil {
		return nil, err
	}
	return t.stateOf(ctx, item)
}

// again is what to try after the attempt on tried failed with cause: the current state if the one tried was an outdated
// suggestion, otherwise cause stands.
func (t target) again(ctx context.Context, tried *state, cause error) (*state, error) {
	if tried.current {
		return nil, cause
	}
	fresh, err := t.load(ctx)
	if err != nil {
		return nil, err
	}
	if fresh.revision == tried.revision {
		return nil, cause
	}
	return fresh, nil
}

// stateOf decodes what the store holds; item is nil for an absent key.
func (t target) stateOf(ctx context.Context, item *storage.Item) (*state, error) {
	if item == nil {
		return t.absent()
	}
	st := &state{object: newLike(t.like), revision: item.ModRevision, current: true}
	data, stale, err := t.store.coding.open(ctx, t.key, item.Value)
	if err != nil {
		if t.mustBeCorrupt {
			return &state{revision: item.ModRevision, current: true}, nil
		}
		return nil, apistorage.NewInternalError(err)
	}
	st.data, st.stale = data, stale
	if err := t.store.coding.decodeInto(data, st.revision, st.object); err != nil {
		if t.mustBeCorrupt {
			st.object = nil
			return st, nil
		}
		return nil, err
	}
	if t.mustBeCorrupt {
		return nil, apistorage.NewInvalidObjError(t.key,
			"unsafe deletion is not allowed because the object is decodable from storage")
	}
	return st, nil
}

func (t target) absent() (*state, error) {
	if !t.mayBeAbsent {
		return nil, apistorage.NewKeyNotFoundError(t.key, 0)
	}
	object := newLike(t.like)
	return &state{object: object, current: true}, runtime.SetZeroValue(object)
}

// suggested is the state that the caller believes in. To encode it, its resourceVersion is taken off for a moment.
func (t target) suggested(object runtime.Object) (*state, error) {
	revision, err := versioner.ObjectResourceVersion(object)
	if err != nil {
		return nil, fmt.Errorf("couldn't get resource version: %w", err)
	}
	data, err := t.store.coding.encode(object)
	if err != nil {
		return nil, err
	}
	if err := setRevision(object, int64(revision)); err != nil {
		return nil, err
	}
	return &state{object: object, data: data, revision: int64(revision)}, nil
}

// newLike makes an empty object of the same type.
func newLike(object runtime.Object) runtime.Object {
	if u, ok := object.(runtime.Unstructured); ok {
		return u.NewEmptyInstance()
	}
	return reflect.New(reflect.TypeOf(object).Elem()).Interface().(runtime.Object)
}
