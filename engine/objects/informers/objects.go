package informers

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	clientcache "k8s.io/client-go/tools/cache"

	"gatehouse/engine/objects/cache"
	"gatehouse/engine/storage"
)

// objects is the objects of a resource, decoded. It is safe for concurrent use.
type objects struct {
	Resource
	transform clientcache.TransformFunc
	logger    *slog.Logger
	memo      *memo
	// lists is nil where lists are not kept.
	lists *lists
}

func newObjects(r Resource, transform clientcache.TransformFunc, logger *slog.Logger) *objects {
	o := &objects{Resource: r, transform: transform, logger: logger.With("resource", r.String())}
	if keptWhole(r.GroupResource) {
		o.memo, o.lists = newMemo(keptBytes), &lists{}
	} else {
		o.memo = newMemo(bulkBytes)
	}
	return o
}

// view is the present.
func (o *objects) view() (cache.View, error) {
	view, err := o.Collection.View(context.Background())
	if err == nil {
		o.memo.tidy(view)
	}
	return view, err
}

// of is the object of an entry. It is remembered, and so is that it cannot be decoded.
func (o *objects) of(e *cache.Entry) (any, error) { return o.remembered(e, false) }

// last is the object of an entry that is the last state of an object which was deleted.
func (o *objects) last(e *cache.Entry) (any, error) { return o.remembered(e, true) }

func (o *objects) remembered(e *cache.Entry, gone bool) (any, error) {
	if d, found := o.memo.get(e); found {
		return d.object, d.err
	}
	d := o.memo.put(e, o.decode(e), gone)
	return d.object, d.err
}

// passing is the object of an entry that is looked at with many others: what is remembered of those used on their own is not
// pushed out by it.
func (o *objects) passing(e *cache.Entry) (any, error) {
	if o.lists != nil {
		return o.of(e)
	}
	d, found := o.memo.get(e)
	if !found {
		if d = o.decode(e); d.err != nil {
			// So that it is logged once.
			d = o.memo.put(e, d, false)
		}
	}
	return d.object, d.err
}

// decode logs what cannot be decoded: whoever lists cannot be told.
func (o *objects) decode(e *cache.Entry) decoded {
	object, err := o.decodeAndTransform(e)
	if err != nil {
		o.logger.Error("left out an object that cannot be decoded: repair or delete it",
			"object", o.keyOf(e), "revision", e.Revision(), "error", err)
		return decoded{err: err}
	}
	return decoded{object: object}
}

func (o *objects) decodeAndTransform(e *cache.Entry) (any, error) {
	object, err := o.Decode(e)
	if err != nil || o.transform == nil {
		return object, err
	}
	transformed, err := o.transform(object)
	if err != nil {
		return nil, fmt.Errorf("transform %s %s: %w", o.GroupResource, o.keyOf(e), err)
	}
	return transformed, nil
}

// keyOf is an entry's key as clients of client-go write it: namespace/name or name.
func (o *objects) keyOf(e *cache.Entry) string { return strings.TrimPrefix(e.Key(), o.Prefix) }

// byKey is the object under a key of client-go's, nil if there is none.
func (o *objects) byKey(key string) (any, error) {
	view, err := o.view()
	if err != nil {
		return nil, err
	}
	entry := view.Get(o.Prefix + key)
	if entry == nil {
		return nil, nil
	}
	return o.of(entry)
}

// list is all objects whose keys begin with a prefix, "" for all.
func (o *objects) list(prefix string) ([]any, error) {
	view, err := o.view()
	if err != nil {
		return nil, err
	}
	if o.lists == nil {
		all, _ := o.collect(view, prefix)
		return all, nil
	}
	if known, found := o.lists.get(view, prefix); found {
		return known, nil
	}
	all, bytes := o.collect(view, prefix)
	if bytes <= keptBytes {
		o.lists.put(view, prefix, all)
	}
	return all, nil
}

// collect decodes what is in a view below a prefix. bytes is what that takes as the memo counts.
func (o *objects) collect(view cache.View, prefix string) (all []any, bytes int64) {
	start, end := o.bounds(prefix)
	if prefix == "" {
		all = make([]any, 0, view.Len())
	}
	for entry := range view.Scan(start, end) {
		if object, err := o.passing(entry); err == nil {
			all = append(all, object)
			bytes += cost(entry)
		}
	}
	return all[:len(all):len(all)], bytes
}

// bounds are those of the keys below a prefix.
func (o *objects) bounds(prefix string) (start, end string) {
	if prefix == "" {
		return "", ""
	}
	start = o.Prefix + prefix
	return start, storage.PrefixEnd(start)
}

// lists keeps the lists that were asked for since the collection last changed. It is safe for concurrent use.
type lists struct {
	mu       sync.RWMutex // guards all below
	at       int64        // the revision that changed the collection last
	byPrefix map[string][]any
}

func (l *lists) get(view cache.View, prefix string) (all []any, found bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.at != view.Changed() {
		return nil, false
	}
	all, found = l.byPrefix[prefix]
	return all, found
}

func (l *lists) put(view cache.View, prefix string, all []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.at > view.Changed():
		return // somebody has seen a later view
	case l.at < view.Changed() || len(l.byPrefix) >= mostLists:
		l.at, l.byPrefix = view.Changed(), map[string][]any{}
	}
	l.byPrefix[prefix] = all
}

// mostLists bounds the lists that are kept, should namespaces without objects be asked for.
const mostLists = 4096
