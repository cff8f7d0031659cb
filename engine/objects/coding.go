package objects

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/value"
)

// versioner reads and writes resourceVersions as decimal revisions; it has no state.
var versioner = apistorage.APIObjectVersioner{}

// coding turns objects into stored bytes and back. Between the two stand the encoded bytes, which the codec makes and which
// updates compare; the transformer makes the stored bytes of them.
type coding struct {
	codec       runtime.Codec
	transformer value.Transformer
}

// dataContext binds encrypted bytes to their key, so that they cannot be moved to another.
type dataContext string

// AuthenticatedData implements value.Context.
func (d dataContext) AuthenticatedData() []byte { return []byte(d) }

// encode clears what is not stored from object and encodes it.
func (c coding) encode(object runtime.Object) ([]byte, error) {
	if err := versioner.PrepareObjectForStorage(object); err != nil {
		return nil, fmt.Errorf("PrepareObjectForStorage failed: %w", err)
	}
	return runtime.Encode(c.codec, object)
}

// seal makes stored bytes of encoded ones.
func (c coding) seal(ctx context.Context, key string, data []byte) ([]byte, error) {
	sealed, err := c.transformer.TransformToStorage(ctx, data, dataContext(key))
	if err != nil {
		return nil, apistorage.NewInternalError(err)
	}
	return sealed, nil
}

// open makes encoded bytes of stored ones. stale asks for the object to be written again even if it does not change, say
// with a newer key. The transformer's error comes back as it is.
func (c coding) open(ctx context.Context, key string, stored []byte) (data []byte, stale bool, err error) {
	return c.transformer.TransformFromStorage(ctx, stored, dataContext(key))
}

// decodeInto decodes data into an empty object and gives it its resourceVersion.
func (c coding) decodeInto(data []byte, revision int64, into runtime.Object) error {
	if _, _, err := c.codec.Decode(data, nil, into); err != nil {
		return atRevision(err, revision)
	}
	return setRevision(into, revision)
}

// decode decodes data into a new object of the kind that data names.
func (c coding) decode(data []byte, revision int64) (runtime.Object, error) {
	object, err := runtime.Decode(c.codec, data)
	if err != nil {
		return nil, atRevision(err, revision)
	}
	return object, setRevision(object, revision)
}

// openAndDecode is open and decode in one, for events.
func (c coding) openAndDecode(ctx context.Context, key string, stored []byte, revision int64) (runtime.Object, error) {
	data, _, err := c.open(ctx, key, stored)
	if err != nil {
		return nil, err
	}
	return c.decode(data, revision)
}

func setRevision(object runtime.Object, revision int64) error {
	if err := versioner.UpdateObject(object, uint64(revision)); err != nil {
		return fmt.Errorf("set resourceVersion %d on %T: %w", revision, object, err)
	}
	return nil
}

// atRevision completes a corruptError of the codec, which cannot know the revision.
func atRevision(err error, revision int64) error {
	var corrupt *corruptError
	if errors.As(err, &corrupt) {
		return &corruptError{kind: corrupt.kind, revision: revision, err: corrupt.err}
	}
	return err
}
