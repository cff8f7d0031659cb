package informers

import (
	"maps"
	"slices"
	"sync"

	clientcache "k8s.io/client-go/tools/cache"

	"gatehouse/engine/objects/cache"
)

// index finds objects by what a function makes of them. Nobody pays for it before the first question: whoever asks brings it up to date
// from the collection's last events. It holds keys, and no objects.
type index struct {
	values clientcache.IndexFunc

	mu sync.Mutex // guards all below
	// at is the revision that last changed the collection as the index knows it; 0 before the first question.
	at     int64
	keys   map[string]map[string]struct{} // of entries, by value
	byKey  map[string][]string            // the values of each
	holder *objects                       // whose objects these are
}

// find is the present, and the sorted keys of the entries in it that have a value.
func (i *index) find(o *objects, value string) (cache.View, []string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	view, err := i.advance(o)
	if err != nil {
		return cache.View{}, nil, err
	}
	return view, slices.Sorted(maps.Keys(i.keys[value])), nil
}

// all is the values that there are, in no order.
func (i *index) all(o *objects) ([]string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, err := i.advance(o); err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(i.keys)), nil
}

// advance brings the index to the present, which it returns. It looks at the present under the lock: whoever looked before might find
// that another has moved the index on, and then see objects under values that they got later. mu must be held.
func (i *index) advance(o *objects) (cache.View, error) {
	view, err := o.view()
	if err != nil {
		return cache.View{}, err
	}
	if i.holder == o && i.at == view.Changed() {
		return view, nil
	}
	events, held := view.Since(i.at)
	if i.holder != o || !held {
		i.rebuild(o, view)
		return view, nil
	}
	for _, e := range events {
		i.drop(e.Entry.Key())
		if e.Kind != cache.Deleted {
			i.add(o, e.Entry)
		}
	}
	i.at = view.Changed()
	return view, nil
}

func (i *index) rebuild(o *objects, view cache.View) {
	i.keys, i.byKey, i.holder = map[string]map[string]struct{}{}, map[string][]string{}, o
	for entry := range view.Scan("", "") {
		i.add(o, entry)
	}
	i.at = view.Changed()
}

// add leaves out what has no values because it cannot be decoded or the function fails; both are in the log.
func (i *index) add(o *objects, entry *cache.Entry) {
	object, err := o.passing(entry)
	if err != nil {
		return
	}
	values, err := i.values(object)
	if err != nil {
		o.logger.Error("left an object out of an index", "object", o.keyOf(entry), "error", err)
		return
	}
	for _, value := range values {
		if i.keys[value] == nil {
			i.keys[value] = map[string]struct{}{}
		}
		i.keys[value][entry.Key()] = struct{}{}
	}
	if len(values) > 0 {
		i.byKey[entry.Key()] = values
	}
}

func (i *index) drop(key string) {
	for _, value := range i.byKey[key] {
		delete(i.keys[value], key)
		if len(i.keys[value]) == 0 {
			delete(i.keys, value)
		}
	}
	delete(i.byKey, key)
}
