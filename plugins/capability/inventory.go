package capability

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Inventory is a copy of the objects that a plugin may list, as Gatekeeper's policies expect it: JSON of
//
//	{"cluster": {APIVERSION: {KIND: {NAME: OBJECT}}}, "namespace": {NAMESPACE: {APIVERSION: {KIND: {NAME: OBJECT}}}}}
//
// It is made when somebody asks for it, and made anew when an object of its kinds has changed since. What it holds is bounded by
// the grant's maxObjects for each list and its maxBytes for all of them; more is an error, for a policy that sees a part of the
// objects would find what is not so. It is used by several goroutines at once.
type Inventory struct {
	objects *objects
	lists   []inventoryList

	mu sync.Mutex // guards what follows
	// held is what each list had when it was last read.
	held []heldList
	// data is made of held, and revision counts how often; behind is set while held has what data has not.
	data     []byte
	revision uint64
	behind   bool
}

// inventoryList is one list that the grants allow, of all namespaces where namespace is empty.
type inventoryList struct {
	kind      schema.GroupVersionKind
	namespace string
}

// heldList is a list as it was at a revision of its collection.
type heldList struct {
	read     bool
	changed  int64
	items    []inventoryItem
	numBytes int64
}

type inventoryItem struct {
	namespace, name string
	object          json.RawMessage
}

// Inventory is what a plugin with these grants may list: each kind without names, in all namespaces or in those that are spelled out. It
// is nil when there is nothing to list. An error is about the grants.
func (h Host) Inventory(grants Grants) (*Inventory, error) {
	if grants.Kubernetes == nil {
		return nil, nil
	}
	o, err := newObjects(h.Objects, grants.Kubernetes)
	if err != nil {
		return nil, fmt.Errorf("k8s.%w", err)
	}
	i := &Inventory{objects: o}
	add := func(list inventoryList) {
		if !slices.Contains(i.lists, list) {
			i.lists = append(i.lists, list)
		}
	}
	for _, g := range o.granted {
		switch {
		case g.Names != nil:
		case g.Namespaces == nil:
			add(inventoryList{kind: g.GroupVersionKind})
		default:
			for _, namespace := range g.Namespaces {
				if !strings.HasSuffix(namespace, "*") {
					add(inventoryList{g.GroupVersionKind, namespace})
				}
			}
		}
	}
	if len(i.lists) == 0 {
		return nil, nil
	}
	i.held = make([]heldList, len(i.lists))
	return i, nil
}

// Current is the inventory with every write that was acknowledged before, and its number: the same number means the same data. They
// must not be changed.
func (i *Inventory) Current(ctx context.Context) (data []byte, revision uint64, err error) {
	if i.objects.source == nil {
		return nil, 0, fmt.Errorf("there are no objects to read here")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.lists {
		read, err := i.refresh(ctx, n)
		if err != nil {
			return nil, 0, fmt.Errorf("list every %s: %w", i.lists[n].kind.Kind, err)
		}
		i.behind = i.behind || read
	}
	if !i.behind {
		return i.data, i.revision, nil
	}
	data, err = i.encode()
	if err != nil {
		return nil, 0, err
	}
	i.data, i.behind = data, false
	i.revision++
	return i.data, i.revision, nil
}

// refresh reads a list anew if it has changed, and reports whether it has. The caller holds mu.
func (i *Inventory) refresh(ctx context.Context, n int) (bool, error) {
	list, o := i.lists[n], i.objects
	changed, err := o.source.Changed(ctx, list.kind)
	if err != nil || i.held[n].read && i.held[n].changed == changed {
		return false, err
	}
	room := o.maxBytes
	for m, other := range i.held {
		if m != n {
			room -= other.numBytes
		}
	}
	// The list may be newer than changed, and is then read once more.
	encoded, err := o.source.List(ctx, list.kind, list.namespace, "", o.maxObjects, max(room, 0))
	if err != nil {
		return false, err
	}
	items, err := inventoryItems(encoded, list.kind)
	if err != nil {
		return false, err
	}
	i.held[n] = heldList{read: true, changed: changed, items: items, numBytes: int64(len(encoded))}
	return true, nil
}

// inventoryItems are the objects of a list, which in the inventory say what they are, as they do not in a list.
func inventoryItems(list []byte, kind schema.GroupVersionKind) ([]inventoryItem, error) {
	var read struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(list, &read); err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	items := make([]inventoryItem, len(read.Items))
	for n, object := range read.Items {
		var about struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(object, &about); err != nil {
			return nil, fmt.Errorf("read an object of the list: %w", err)
		}
		if about.Kind == "" {
			head := fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,`, kind.GroupVersion(), kind.Kind)
			object = slices.Concat(head, object[1:])
		}
		items[n] = inventoryItem{about.Metadata.Namespace, about.Metadata.Name, object}
	}
	return items, nil
}

// encode puts all lists together. The caller holds mu.
func (i *Inventory) encode() ([]byte, error) {
	type byName map[string]json.RawMessage
	type byVersion map[string]map[string]byName
	cluster, namespaces := byVersion{}, map[string]byVersion{}
	for n, list := range i.lists {
		version := list.kind.GroupVersion().String()
		for _, item := range i.held[n].items {
			to := cluster
			if item.namespace != "" {
				if namespaces[item.namespace] == nil {
					namespaces[item.namespace] = byVersion{}
				}
				to = namespaces[item.namespace]
			}
			if to[version] == nil {
				to[version] = map[string]byName{}
			}
			if to[version][list.kind.Kind] == nil {
				to[version][list.kind.Kind] = byName{}
			}
			to[version][list.kind.Kind][item.name] = item.object
		}
	}
	return encode(map[string]any{"cluster": cluster, "namespace": namespaces})
}
