package cache

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// Attributes is what selectors look at.
type Attributes struct {
	Labels Set
	Fields Set
}

// Set is names and values of one object in little memory: the names are shared by all objects that have the same ones. It is what
// labels.Selector and fields.Selector match against. The zero Set is empty.
type Set struct {
	names *names
	// values stand in the order of the names, each behind its length.
	values string
}

var (
	_ labels.Labels = Set{}
	_ fields.Fields = Set{}
)

// names are sorted.
type names []string

// Lookup is the value of a name, and whether there is one.
func (s Set) Lookup(name string) (value string, exists bool) {
	if s.names == nil {
		return "", false
	}
	at, found := slices.BinarySearch(*s.names, name)
	if !found {
		return "", false
	}
	rest := s.values
	for ; at > 0; at-- {
		_, rest = cutValue(rest)
	}
	value, _ = cutValue(rest)
	return value, true
}

// Get is the value of a name, "" if there is none.
func (s Set) Get(name string) string {
	value, _ := s.Lookup(name)
	return value
}

// Has says whether there is such a name.
func (s Set) Has(name string) bool {
	_, exists := s.Lookup(name)
	return exists
}

// Map is the set as upstream's labels.Set and fields.Set have it; it is the caller's, nil if empty.
func (s Set) Map() map[string]string {
	if s.names == nil || len(*s.names) == 0 {
		return nil
	}
	m, rest := make(map[string]string, len(*s.names)), s.values
	for _, name := range *s.names {
		m[name], rest = cutValue(rest)
	}
	return m
}

// cutValue takes the first value off. Lengths are written as in protobuf, seven bits a byte.
func cutValue(values string) (value, rest string) {
	length, shift, at := 0, 0, 0
	for {
		b := values[at]
		at++
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			return values[at : at+length], values[at+length:]
		}
		shift += 7
	}
}

// shapes shares names between sets.
type shapes struct {
	mu    sync.Mutex        // guards known
	known map[string]*names // by the names, joined
}

// mostShapes bounds what is remembered, should objects make up a new name each.
const mostShapes = 1024

func (s *shapes) set(m map[string]string) Set {
	if len(m) == 0 {
		return Set{}
	}
	sorted := slices.Sorted(maps.Keys(m))
	size := 0
	for _, value := range m {
		size += len(value) + binary.MaxVarintLen16
	}
	packed := make([]byte, 0, size)
	for _, name := range sorted {
		packed = binary.AppendUvarint(packed, uint64(len(m[name])))
		packed = append(packed, m[name]...)
	}
	return Set{names: s.shared(sorted), values: string(packed)}
}

func (s *shapes) shared(sorted names) *names {
	joined := strings.Join(sorted, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[joined]; known != nil {
		return known
	}
	if s.known == nil || len(s.known) >= mostShapes {
		s.known = map[string]*names{}
	}
	s.known[joined] = &sorted
	return &sorted
}

// Attributes is the object's labels and selectable fields, made on first use and kept. It fails with ErrUnreadable where nobody can
// know them.
func (e *Entry) Attributes() (Attributes, error) {
	if known := e.attributes.Load(); known != nil {
		return *known, nil
	}
	if e.source != nil {
		// They do not depend on the revision it is shown at.
		return e.source.Attributes()
	}
	if selected := &e.collection.selected; !selected.Load() {
		selected.Store(true)
	}
	object, err := e.Object()
	if err != nil {
		return Attributes{}, err
	}
	return e.attributesOf(object)
}

// attributesOf makes and keeps the attributes of the decoded object.
func (e *Entry) attributesOf(object runtime.Object) (Attributes, error) {
	if known := e.attributes.Load(); known != nil {
		return *known, nil
	}
	labelSet, fieldSet, err := e.collection.resource.Attributes(object)
	if err != nil {
		return Attributes{}, fmt.Errorf("tell labels and fields of %s at revision %d: %w", e.key, e.revision, err)
	}
	attributes := &Attributes{Labels: e.collection.shapes.set(labelSet), Fields: e.collection.shapes.set(fieldSet)}
	e.attributes.Store(attributes)
	return *attributes, nil
}
