package objects

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"gatehouse/engine/storage"
)

// maxPage is how many items a limited list reads at once at most. Pages grow up to it while a selector drops items, so that
// finding one object in thousands takes few reads.
const maxPage = 10000

// GetList implements storage.Interface. Pages that continue one list all show the revision of the first.
func (s *Store) GetList(ctx context.Context, key string, opts apistorage.ListOptions, listObject runtime.Object) error {
	prefix, err := s.prepareKey(key, opts.Recursive)
	if err != nil {
		return err
	}
	items, err := itemsOf(listObject)
	if err != nil {
		return err
	}
	revision, position, err := apistorage.ValidateListOptions(prefix, versioner, opts)
	if err != nil {
		return err
	}
	l := &listing{
		store:    s,
		prefix:   prefix,
		opts:     opts,
		revision: revision,
		items:    items,
		newItem:  itemConstructor(listObject),
		unread:   unreadItems{gather: s.unsafeDeletion},
	}
	if err := l.read(ctx, position); err != nil {
		return err
	}
	return l.finish(listObject)
}

var objectType = reflect.TypeFor[runtime.Object]()

// itemsOf returns the settable slice of a list's items.
func itemsOf(listObject runtime.Object) (reflect.Value, error) {
	pointer, err := meta.GetItemsPtr(listObject)
	if err != nil {
		return reflect.Value{}, err
	}
	items, err := conversion.EnforcePtr(pointer)
	if err != nil {
		return reflect.Value{}, fmt.Errorf("need ptr to slice: %w", err)
	}
	if items.Kind() != reflect.Slice || !reflect.PointerTo(items.Type().Elem()).Implements(objectType) {
		return reflect.Value{}, fmt.Errorf("need ptr to slice of objects, not to %s", items.Type())
	}
	return items, nil
}

// itemConstructor is nil for typed lists, whose items are decoded where they will stand. Items of an unstructured list must
// be told the version to decode to before they are decoded.
func itemConstructor(listObject runtime.Object) func() runtime.Object {
	if list, ok := listObject.(*unstructured.UnstructuredList); ok && list.GetAPIVersion() != "" {
		version := list.GetAPIVersion()
		return func() runtime.Object {
			return &unstructured.Unstructured{Object: map[string]any{"apiVersion": version}}
		}
	}
	return nil
}

// listing is one GetList under way.
type listing struct {
	store    *Store
	prefix   string
	opts     apistorage.ListOptions
	revision int64 // that the list shows; 0 until the first page of a list at the current revision
	items    reflect.Value
	newItem  func() runtime.Object
	unread   unreadItems

	lastKey string // the last one looked at
	more    bool   // keys remain beyond lastKey
	count   int64  // keys from the start of the last page on
}

// full says that the caller's limit is reached.
func (l *listing) full() bool {
	return l.opts.Predicate.Limit > 0 && int64(l.items.Len()) >= l.opts.Predicate.Limit
}

// read gathers items from position on, or from the start if it is empty.
func (l *listing) read(ctx context.Context, position string) error {
	request := l.firstPage(position)
	for {
		page, err := l.store.backend.Range(ctx, request)
		if err != nil {
			return l.readError(ctx, err, request.Start)
		}
		if l.revision == 0 {
			if err := checkMinimumRevision(l.opts.ResourceVersion, page.Revision); err != nil {
				return err
			}
			l.revision = page.Revision
		}
		if len(page.Items) == 0 && page.More {
			return fmt.Errorf("list %s: the store says there is more but returns nothing", request.Start)
		}
		l.count, l.more = page.Count, page.More
		if err := l.take(ctx, page.Items); err != nil {
			return err
		}
		if l.full() || !l.more {
			return nil
		}
		request.Start = l.lastKey + "\x00"
		request.Revision = l.revision
		request.Limit = max(request.Limit, min(2*request.Limit, maxPage))
	}
}

func (l *listing) firstPage(position string) storage.RangeRequest {
	if !l.opts.Recursive {
		return storage.RangeRequest{Start: l.prefix, End: l.prefix + "\x00", Revision: l.revision}
	}
	if position == "" {
		position = l.prefix
	}
	return storage.RangeRequest{
		Start:    position,
		End:      storage.PrefixEnd(l.prefix),
		Revision: l.revision,
		Limit:    int(max(l.opts.Predicate.Limit, 0)),
	}
}

func (l *listing) readError(ctx context.Context, err error, position string) error {
	switch {
	case errors.Is(err, storage.ErrCompacted):
		return listExpiredError(l.opts.Predicate.Continue != "", position, l.prefix)
	case errors.Is(err, storage.ErrFutureRevision):
		current, err := l.store.GetCurrentResourceVersion(ctx)
		if err != nil {
			current = 0
		}
		return apistorage.NewTooLargeResourceVersionError(uint64(l.revision), current, tooLargeRetrySeconds)
	default:
		return l.store.backendError("list", l.prefix, err)
	}
}

// take decodes a page and keeps what the predicate matches, until the limit is reached.
func (l *listing) take(ctx context.Context, page []storage.Item) error {
	if l.opts.Predicate.Empty() {
		l.items.Grow(len(page))
	}
	for i := range page {
		item := &page[i]
		if l.full() {
			l.more = true
			return nil
		}
		l.lastKey = item.Key
		if err := l.takeItem(ctx, item); err != nil && l.unread.add(item.Key, err) {
			return l.unread.err(l.store.groupResource)
		}
		// A long list takes long to decode: let the bytes go as soon as they are.
		item.Value = nil
	}
	return nil
}

func (l *listing) takeItem(ctx context.Context, item *storage.Item) error {
	data, _, err := l.store.coding.open(ctx, item.Key, item.Value)
	if err != nil {
		return apistorage.NewInternalError(fmt.Errorf("unable to transform key %q: %w", item.Key, err))
	}
	if ctx.Err() != nil {
		return apistorage.NewTimeoutError(item.Key, "request did not complete within requested timeout")
	}
	n := l.items.Len()
	l.items.Grow(1)
	l.items.SetLen(n + 1)
	slot := l.items.Index(n)
	object := l.objectAt(slot)
	matched, err := false, l.store.coding.decodeInto(data, item.ModRevision, object)
	if err == nil {
		// An object whose attributes cannot be told matches nothing, as upstream has it.
		matched, _ = l.opts.Predicate.Matches(object)
	}
	if !matched {
		l.items.SetLen(n)
		return err
	}
	if l.newItem != nil {
		slot.Set(reflect.ValueOf(object).Elem())
	}
	return nil
}

// objectAt is what to decode into for the given place in the list: usually that place itself, which saves a copy and an
// allocation of every object. It is cleared of what an object that did not match may have left there.
func (l *listing) objectAt(slot reflect.Value) runtime.Object {
	if l.newItem != nil {
		return l.newItem()
	}
	slot.SetZero()
	return slot.Addr().Interface().(runtime.Object)
}

// finish fills in the list's metadata.
func (l *listing) finish(listObject runtime.Object) error {
	token, remaining, err := apistorage.PrepareContinueToken(l.lastKey, l.prefix, l.revision, l.count, l.more, l.opts)
	if err != nil {
		return fmt.Errorf("list %s: %w", l.prefix, err)
	}
	if err := l.unread.err(l.store.groupResource); err != nil {
		return err
	}
	if l.items.IsNil() {
		l.items.Set(reflect.MakeSlice(l.items.Type(), 0, 0))
	}
	if err := versioner.UpdateList(listObject, uint64(l.revision), token, remaining); err != nil {
		return err
	}
	l.opts.Predicate.SetShardInfoOnList(listObject)
	return nil
}
