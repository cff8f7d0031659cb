package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/storage"
)

// Create implements storage.Interface. ttl is in seconds.
func (s *Store) Create(ctx context.Context, key string, object, out runtime.Object, ttl uint64) error {
	prepared, err := s.prepareKey(key, false)
	if err != nil {
		return err
	}
	if version, err := versioner.ObjectResourceVersion(object); err == nil && version != 0 {
		return apistorage.ErrResourceVersionSetOnCreate
	}
	data, err := s.coding.encode(object)
	if err != nil {
		return err
	}
	revision, conflict, err := s.put(ctx, prepared, data, 0, &ttl)
	if err != nil {
		return err
	}
	if conflict != nil {
		return apistorage.NewKeyExistsError(prepared, 0)
	}
	if out == nil {
		return nil
	}
	return s.coding.decodeInto(data, revision, out)
}

// Delete implements storage.Interface. out receives what was deleted, with the revision of the deletion.
func (s *Store) Delete(
	ctx context.Context, key string, out runtime.Object, preconditions *apistorage.Preconditions,
	validate apistorage.ValidateObjectFunc, suggestion runtime.Object, opts apistorage.DeleteOptions,
) error {
	prepared, err := s.prepareKey(key, false)
	if err != nil {
		return err
	}
	if _, err := conversion.EnforcePtr(out); err != nil {
		return fmt.Errorf("unable to convert output object to pointer: %w", err)
	}
	d := deletion{
		target: target{
			store:         s,
			key:           prepared,
			like:          out,
			mustBeCorrupt: s.unsafeDeletion && opts.ExpectTransformOrDecodeError,
		},
		preconditions: preconditions,
		validate:      validate,
		out:           out,
	}
	st, err := d.first(ctx, suggestion)
	for err == nil && st != nil {
		st, err = d.attempt(ctx, st)
	}
	return err
}

// deletion is one Delete under way.
type deletion struct {
	target
	preconditions *apistorage.Preconditions
	validate      apistorage.ValidateObjectFunc
	out           runtime.Object
}

// attempt deletes the object if it still is as st says. It returns the state to try next, nil when all is done.
func (d deletion) attempt(ctx context.Context, st *state) (next *state, err error) {
	if err := d.preconditions.Check(d.key, st.object); err != nil {
		return d.again(ctx, st, err)
	}
	if err := d.validate(ctx, st.object); err != nil {
		return d.again(ctx, st, err)
	}
	if st.revision == 0 {
		// A suggestion without a resourceVersion cannot be compared with anything.
		return d.load(ctx)
	}
	revision, conflict, err := d.store.apply(ctx, storage.Write{Key: d.key, Delete: true, Expected: st.revision})
	switch {
	case err != nil:
		return nil, err
	case conflict != nil:
		return d.stateOf(ctx, conflict.Current)
	case d.mustBeCorrupt:
		return nil, nil
	default:
		return nil, d.store.coding.decodeInto(st.data, revision, d.out)
	}
}

// GuaranteedUpdate implements storage.Interface. As in kube-apiserver, an update that names no TTL makes the object live for
// ever, and one whose result is encoded in the same bytes is not written.
func (s *Store) GuaranteedUpdate(
	ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *apistorage.Preconditions, tryUpdate apistorage.UpdateFunc, suggestion runtime.Object,
) error {
	prepared, err := s.prepareKey(key, false)
	if err != nil {
		return err
	}
	if _, err := conversion.EnforcePtr(destination); err != nil {
		return fmt.Errorf("unable to convert output object to pointer: %w", err)
	}
	u := update{
		target:        target{store: s, key: prepared, like: destination, mayBeAbsent: ignoreNotFound},
		preconditions: preconditions,
		tryUpdate:     tryUpdate,
		destination:   destination,
	}
	st, err := u.first(ctx, suggestion)
	for err == nil && st != nil {
		st, err = u.attempt(ctx, st)
	}
	return err
}

// update is one GuaranteedUpdate under way.
type update struct {
	target
	preconditions *apistorage.Preconditions
	tryUpdate     apistorage.UpdateFunc
	destination   runtime.Object
}

// attempt updates the object if it still is as st says. It returns the state to try next, nil when all is done.
func (u update) attempt(ctx context.Context, st *state) (next *state, err error) {
	if err := u.preconditions.Check(u.key, st.object); err != nil {
		if st.current {
			return nil, err
		}
		return u.load(ctx)
	}
	updated, ttl, err := u.tryUpdate(st.object, apistorage.ResponseMeta{ResourceVersion: uint64(st.revision)})
	if err != nil {
		return u.again(ctx, st, err)
	}
	data, err := u.store.coding.encode(updated)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(data, st.data) {
		if !st.current {
			// That nothing changes has to be true of the store, not only of the suggestion.
			if st, err = u.load(ctx); err != nil || !bytes.Equal(data, st.data) {
				return st, err
			}
		}
		if !st.stale {
			return nil, u.store.coding.decodeInto(st.data, st.revision, u.destination)
		}
	}
	revision, conflict, err := u.store.put(ctx, u.key, data, st.revision, ttl)
	switch {
	case err != nil:
		return nil, err
	case conflict != nil:
		return u.stateOf(ctx, conflict.Current)
	default:
		return nil, u.store.coding.decodeInto(data, revision, u.destination)
	}
}

// put writes encoded bytes if the key is at revision expected; ttl in seconds, nil or 0 for ever.
func (s *Store) put(
	ctx context.Context, key string, data []byte, expected int64, ttl *uint64,
) (revision int64, conflict *storage.ConflictError, err error) {
	sealed, err := s.coding.seal(ctx, key, data)
	if err != nil {
		return 0, nil, err
	}
	return s.apply(ctx, storage.Write{Key: key, Value: sealed, Expected: expected, TTL: seconds(ttl)})
}

// apply commits w. That another writer was faster is not an error here: conflict tells what the key holds instead.
func (s *Store) apply(
	ctx context.Context, w storage.Write,
) (revision int64, conflict *storage.ConflictError, err error) {
	_, revision, err = s.backend.Apply(ctx, w)
	switch {
	case err == nil:
		return revision, nil, nil
	case errors.As(err, &conflict):
		return 0, conflict, nil
	default:
		return 0, nil, s.backendError("write", w.Key, err)
	}
}

// seconds is n seconds, or as long as a Duration can be; nil is 0.
func seconds(n *uint64) time.Duration {
	if n == nil {
		return 0
	}
	const most = uint64(math.MaxInt64 / int64(time.Second))
	return time.Duration(min(*n, most)) * time.Second
}
