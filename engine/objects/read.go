package objects

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/storage"
)

// Get implements storage.Interface. It always reads the newest state.
func (s *Store) Get(ctx context.Context, key string, opts apistorage.GetOptions, out runtime.Object) error {
	prepared, err := s.prepareKey(key, false)
	if err != nil {
		return err
	}
	item, revision, err := s.read(ctx, prepared)
	if err != nil {
		return err
	}
	if err := checkMinimumRevision(opts.ResourceVersion, revision); err != nil {
		return err
	}
	if item == nil {
		if opts.IgnoreNotFound {
			return runtime.SetZeroValue(out)
		}
		return apistorage.NewKeyNotFoundError(prepared, 0)
	}
	err = s.decodeItem(ctx, item, out)
	if corrupt := (*corruptError)(nil); errors.As(err, &corrupt) {
		// The registry looks for this error to decide whether an unsafe deletion may go ahead.
		return apistorage.NewCorruptObjError(key, corrupt)
	}
	return err
}

func (s *Store) decodeItem(ctx context.Context, item *storage.Item, out runtime.Object) error {
	data, _, err := s.coding.open(ctx, item.Key, item.Value)
	if err != nil {
		return apistorage.NewInternalError(err)
	}
	if _, err := conversion.EnforcePtr(out); err != nil {
		return fmt.Errorf("unable to convert output object to pointer: %w", err)
	}
	return s.coding.decodeInto(data, item.ModRevision, out)
}

// read returns what key holds now, nil when it holds nothing, and the store's revision.
func (s *Store) read(ctx context.Context, key string) (*storage.Item, int64, error) {
	result, err := s.backend.Range(ctx, storage.RangeRequest{Start: key, End: key + "\x00"})
	if err != nil {
		return nil, 0, s.backendError("read", key, err)
	}
	if len(result.Items) == 0 {
		return nil, result.Revision, nil
	}
	return &result.Items[0], result.Revision, nil
}

// tooLargeRetrySeconds is when a client that asked for a revision of the future is told to come again; kube-apiserver's too.
const tooLargeRetrySeconds = 1

// checkMinimumRevision holds the promise that an answer is not older than the resourceVersion of the request.
func checkMinimumRevision(minimum string, actual int64) error {
	if minimum == "" {
		return nil
	}
	revision, err := versioner.ParseResourceVersion(minimum)
	if err != nil {
		return err // as it is: kube-apiserver's cache does not make a bad request of it either
	}
	if revision > uint64(actual) {
		return apistorage.NewTooLargeResourceVersionError(revision, uint64(actual), tooLargeRetrySeconds)
	}
	return nil
}
