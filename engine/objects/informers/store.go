package informers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	clientcache "k8s.io/client-go/tools/cache"

	"gatehouse/engine/objects/cache"
)

// errReadOnly is the answer to those who would change what the server stores by changing an informer's store.
var errReadOnly = errors.New("this store shows what the server stores and cannot be written to: write through the API")

// store is the present objects of an informer as client-go's listers ask for them. Beside what cache.Indexer asks for, it tells
// its Revision. It is safe for concurrent use.
type store struct {
	source *source

	mu sync.RWMutex // guards indexes
	// indexes by name, nil for the one by namespace, which is the order of the keys.
	indexes map[string]*index
	funcs   clientcache.Indexers
}

var _ clientcache.Indexer = (*store)(nil)

func newStore(s *source) *store {
	return &store{
		source:  s,
		indexes: map[string]*index{clientcache.NamespaceIndex: nil},
		funcs:   clientcache.Indexers{clientcache.NamespaceIndex: clientcache.MetaNamespaceIndexFunc},
	}
}

// Revision is the revision of the last write to any of the store's objects. Until it changes, the store shows the same objects.
// It includes every write that has been acknowledged, costs next to nothing and is 0 while there is nothing to read from.
func (s *store) Revision() int64 {
	objects, err := s.source.open()
	if err != nil {
		return 0
	}
	revision, err := objects.Collection.Changed(context.Background())
	if err != nil {
		return 0
	}
	return revision
}

// LastStoreSyncResourceVersion implements cache.Store.
func (s *store) LastStoreSyncResourceVersion() string {
	if revision := s.Revision(); revision > 0 {
		return strconv.FormatInt(revision, 10)
	}
	return ""
}

// GetByKey implements cache.Store.
func (s *store) GetByKey(key string) (item any, exists bool, err error) {
	objects, err := s.source.open()
	if err != nil {
		return nil, false, err
	}
	item, err = objects.byKey(key)
	if err != nil {
		return nil, false, fmt.Errorf("get %s %s: %w", objects.GroupResource, key, err)
	}
	return item, item != nil, nil
}

// Get implements cache.Store.
func (s *store) Get(object any) (item any, exists bool, err error) {
	key, err := clientcache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return nil, false, clientcache.KeyError{Obj: object, Err: err}
	}
	return s.GetByKey(key)
}

// List implements cache.Store. It has no way to tell of an error: those who ask before the informer has synced may get nothing.
func (s *store) List() []any {
	all, err := s.list("")
	s.report(err)
	return all
}

// report logs why a list stays empty, unless that is because the server is ending.
func (s *store) report(err error) {
	if err != nil && !errors.Is(err, cache.ErrClosed) {
		s.source.logger.Error("a list stays empty", "kind", s.source.kind, "error", err)
	}
}

func (s *store) list(prefix string) ([]any, error) {
	objects, err := s.source.open()
	if err != nil {
		return nil, err
	}
	return objects.list(prefix)
}

// ListKeys implements cache.Store.
func (s *store) ListKeys() []string {
	objects, view, err := s.view()
	if err != nil {
		s.report(err)
		return nil
	}
	return keysIn(objects, view, "")
}

// view is the present as it is kept, encoded.
func (s *store) view() (*objects, cache.View, error) {
	objects, err := s.source.open()
	if err != nil {
		return nil, cache.View{}, err
	}
	view, err := objects.view()
	return objects, view, err
}

func keysIn(o *objects, view cache.View, prefix string) []string {
	keys := []string{}
	start, end := o.bounds(prefix)
	for entry := range view.Scan(start, end) {
		keys = append(keys, o.keyOf(entry))
	}
	return keys
}

// Index implements cache.Indexer.
func (s *store) Index(name string, object any) ([]any, error) {
	values, err := s.valuesOf(name, object)
	if err != nil {
		return nil, err
	}
	if len(values) == 1 {
		return s.ByIndex(name, values[0])
	}
	keys := sets.Set[string]{}
	for _, value := range values {
		found, err := s.IndexKeys(name, value)
		if err != nil {
			return nil, err
		}
		keys.Insert(found...)
	}
	all := []any{}
	for _, key := range sets.List(keys) {
		if object, exists, err := s.GetByKey(key); err == nil && exists {
			all = append(all, object)
		}
	}
	return all, nil
}

// valuesOf is what an index makes of an object that need not be in the store.
func (s *store) valuesOf(name string, object any) ([]string, error) {
	index, err := s.index(name)
	if err != nil {
		return nil, err
	}
	if index != nil {
		return index.values(object)
	}
	if asked, ok := object.(*metav1.ObjectMeta); ok { // as listers ask
		return []string{asked.Namespace}, nil
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return nil, fmt.Errorf("object has no meta: %w", err)
	}
	return []string{accessor.GetNamespace()}, nil
}

// index is the index of a name, nil for the one by namespace.
func (s *store) index(name string) (*index, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	index, known := s.indexes[name]
	if !known {
		return nil, fmt.Errorf("Index with name %s does not exist", name) //nolint:staticcheck // client-go's words
	}
	return index, nil
}

// ByIndex implements cache.Indexer.
func (s *store) ByIndex(name, value string) ([]any, error) {
	index, err := s.index(name)
	if err != nil {
		return nil, err
	}
	if index == nil {
		return s.inNamespace(value)
	}
	objects, err := s.source.open()
	if err != nil {
		return nil, err
	}
	view, keys, err := index.find(objects, value)
	if err != nil {
		return nil, err
	}
	all := make([]any, 0, len(keys))
	for _, key := range keys {
		if entry := view.Get(key); entry != nil {
			if object, err := objects.passing(entry); err == nil {
				all = append(all, object)
			}
		}
	}
	return all, nil
}

func (s *store) inNamespace(namespace string) ([]any, error) {
	objects, err := s.source.open()
	if err != nil {
		return nil, err
	}
	prefix, any := objects.prefixOf(namespace)
	if !any {
		return nil, nil
	}
	return objects.list(prefix)
}

// prefixOf is what the keys of a namespace's objects begin with; any is false when there cannot be any objects in it.
func (o *objects) prefixOf(namespace string) (prefix string, any bool) {
	if o.Namespaced && namespace != "" {
		return namespace + "/", true
	}
	return "", !o.Namespaced && namespace == ""
}

// IndexKeys implements cache.Indexer.
func (s *store) IndexKeys(name, value string) ([]string, error) {
	index, err := s.index(name)
	if err != nil {
		return nil, err
	}
	if index == nil {
		return s.keysInNamespace(value)
	}
	objects, err := s.source.open()
	if err != nil {
		return nil, err
	}
	_, keys, err := index.find(objects, value)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		keys[i] = strings.TrimPrefix(keys[i], objects.Prefix)
	}
	return keys, nil
}

func (s *store) keysInNamespace(namespace string) ([]string, error) {
	objects, view, err := s.view()
	if err != nil {
		return nil, err
	}
	prefix, any := objects.prefixOf(namespace)
	if !any {
		return nil, nil
	}
	return keysIn(objects, view, prefix), nil
}

// ListIndexFuncValues implements cache.Indexer.
func (s *store) ListIndexFuncValues(name string) []string {
	index, err := s.index(name)
	if err != nil {
		return nil
	}
	objects, view, err := s.view()
	if err != nil {
		return nil
	}
	if index != nil {
		values, err := index.all(objects)
		s.report(err)
		return values
	}
	var namespaces []string
	for entry := range view.Scan("", "") {
		namespace, _, namespaced := strings.Cut(objects.keyOf(entry), "/")
		if !namespaced {
			namespace = ""
		}
		if len(namespaces) == 0 || namespaces[len(namespaces)-1] != namespace {
			namespaces = append(namespaces, namespace)
		}
	}
	return namespaces
}

// GetIndexers implements cache.Indexer.
func (s *store) GetIndexers() clientcache.Indexers {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.funcs)
}

// AddIndexers implements cache.Indexer.
func (s *store) AddIndexers(more clientcache.Indexers) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if _, known := s.indexes[name]; known {
			return fmt.Errorf("indexer conflict: there is an index %s already", name)
		}
	}
	for name, values := range more {
		s.indexes[name], s.funcs[name] = &index{values: values}, values
	}
	return nil
}

// Add implements cache.Store: it refuses, as all below do that would change something.
func (s *store) Add(any) error { return errReadOnly }

// Update implements cache.Store.
func (s *store) Update(any) error { return errReadOnly }

// Delete implements cache.Store.
func (s *store) Delete(any) error { return errReadOnly }

// Replace implements cache.Store.
func (s *store) Replace([]any, string) error { return errReadOnly }

// Bookmark implements cache.Store. The store knows its revision by itself.
func (s *store) Bookmark(string) {}

// Resync implements cache.Store; there is nothing to do.
func (s *store) Resync() error { return nil }
