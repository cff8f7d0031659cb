package objects

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/value"
)

// This file is the storage half of upstream's feature AllowUnsafeMalformedObjectDeletion (on by default since 1.37): an
// object that can no longer be decrypted or decoded is told apart from other failures, listed as a cause in the answer to
// a LIST, and deleted by a client that says it knows. Semantics and wording follow etcd3/corrupt_obj_deleter.go.

// corruption is the step at which an object turned out to be unreadable.
type corruption string

const (
	untransformable corruption = "data from the storage is not transformable"
	undecodable     corruption = "object not decodable"
)

// corruptError is the failure to read one object that is there.
type corruptError struct {
	kind     corruption
	revision int64 // 0 when the transformer failed, which does not know it
	err      error
}

func (e *corruptError) Error() string {
	return fmt.Sprintf("%s revision=%d: %v", e.kind, e.revision, e.err)
}

func (e *corruptError) Unwrap() error { return e.err }

// corruptDeletionError ends a watch that cannot show what was deleted.
type corruptDeletionError struct{ err error }

func (e *corruptDeletionError) Error() string {
	return fmt.Sprintf("saw a DELETED event, but object data is corrupt - %v", e.err)
}

func (e *corruptDeletionError) Unwrap() error { return e.err }

// corruptionTransformer reports every failure to open stored bytes as a corruptError.
type corruptionTransformer struct{ value.Transformer }

// TransformFromStorage implements value.Transformer.
func (t corruptionTransformer) TransformFromStorage(
	ctx context.Context, stored []byte, dataCtx value.Context,
) ([]byte, bool, error) {
	data, stale, err := t.Transformer.TransformFromStorage(ctx, stored, dataCtx)
	if err != nil {
		err = &corruptError{kind: untransformable, err: err}
	}
	return data, stale, err
}

// corruptionCodec reports every failure to decode as a corruptError.
type corruptionCodec struct{ runtime.Codec }

// Decode implements runtime.Decoder.
func (c corruptionCodec) Decode(
	data []byte, defaults *schema.GroupVersionKind, into runtime.Object,
) (runtime.Object, *schema.GroupVersionKind, error) {
	object, kind, err := c.Codec.Decode(data, defaults, into)
	if err != nil {
		err = &corruptError{kind: undecodable, err: err}
	}
	return object, kind, err
}

// maxCorruptItems bounds what one LIST tells about; the answer must stay of a size to be sent.
const maxCorruptItems = 100

var errTooManyCorruptItems = errors.New("too many errors, the list is truncated")

// unreadItems gathers the objects that a LIST could not read.
type unreadItems struct {
	gather  bool // tell of every corrupt object, instead of ending with the first
	corrupt []*apistorage.StorageError
	fatal   error
}

// add takes note of a failure and says whether the list ends here.
func (u *unreadItems) add(key string, err error) (end bool) {
	var corrupt *corruptError
	if !u.gather || !errors.As(err, &corrupt) {
		u.fatal = err
		return true
	}
	u.corrupt = append(u.corrupt, apistorage.NewCorruptObjError(key, corrupt))
	if len(u.corrupt) == maxCorruptItems {
		u.fatal = errTooManyCorruptItems
		return true
	}
	return false
}

// err is nil when everything was read.
func (u *unreadItems) err(resource schema.GroupResource) error {
	if len(u.corrupt) == 0 {
		return u.fatal
	}
	message := fmt.Sprintf("failed to read one or more %s from the storage: %v", resource, u.corrupt[0])
	if more := len(u.corrupt) - 1; more > 0 {
		message = fmt.Sprintf("%s (and %d more)", message, more)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure,
		Code:   http.StatusInternalServerError,
		Reason: metav1.StatusReasonStoreReadError,
		Details: &metav1.StatusDetails{
			Group:  resource.Group,
			Kind:   resource.Resource,
			Name:   "list",
			Causes: u.causes(),
		},
		Message: message,
	}}
}

func (u *unreadItems) causes() []metav1.StatusCause {
	causes := make([]metav1.StatusCause, 0, len(u.corrupt)+1)
	for _, err := range u.corrupt {
		causes = append(causes, metav1.StatusCause{
			Type:    metav1.CauseTypeUnexpectedServerResponse,
			Field:   err.Key,
			Message: err.Error(),
		})
	}
	switch {
	case errors.Is(u.fatal, errTooManyCorruptItems):
		causes = append(causes, metav1.StatusCause{Type: metav1.CauseTypeTooMany, Message: u.fatal.Error()})
	case u.fatal != nil:
		causes = append(causes, metav1.StatusCause{
			Type:    metav1.CauseTypeUnexpectedServerResponse,
			Message: u.fatal.Error(),
		})
	}
	return causes
}
