package patch

import (
	"bytes"
	"maps"
	"reflect"
	"strconv"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
)

// direct changes a copy of the object. It is sure of its result, or has none.
func direct(object runtime.Object, kind schema.GroupVersionKind, objects admission.ObjectInterfaces, p Patch) (
	result runtime.Object, changed, sure bool) {
	all, ok := p.operations()
	if !ok || object.GetObjectKind().GroupVersionKind() != kind {
		return nil, false, false
	}
	if custom, ok := object.(*unstructured.Unstructured); ok {
		return directCustom(custom, all)
	}
	v := reflect.ValueOf(object)
	if v.Kind() != reflect.Pointer || v.IsNil() || !registered(object, kind, objects) {
		return nil, false, false
	}
	s := shapeOf(v.Type().Elem())
	if s.members == nil || s.steady != nil && !s.steady(v.Elem()) {
		return nil, false, false
	}
	result = object.DeepCopyObject()
	t := typed{root: reflect.ValueOf(result).Elem()}
	for i := range all {
		if !t.apply(&all[i]) {
			return nil, false, false
		}
	}
	for i := range all {
		if all[i].kind != test && differ(v.Elem(), t.root, all[i].tokens) {
			return result, true, true
		}
	}
	return result, false, true
}

// registered reports whether the object is of the type that its kind would be decoded into.
func registered(object runtime.Object, kind schema.GroupVersionKind, objects admission.ObjectInterfaces) bool {
	kinds, _, err := objects.GetObjectTyper().ObjectKinds(object)
	if err != nil {
		return false
	}
	for _, k := range kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// typed applies operations to a Go struct. Its methods report false where they are not sure.
type typed struct {
	root    reflect.Value
	history history
}

func (t *typed) apply(o *operation) bool {
	if !t.history.allows(o) {
		return false
	}
	container, ok := t.container(o)
	if !ok {
		return false
	}
	s := shapeOf(container.Type())
	switch {
	case s.custom:
		return false
	case s.kind == reflect.Struct:
		return t.member(container, s, o)
	case s.kind == reflect.Map && container.Type().Key().Kind() == reflect.String && !hasOwnForm(container.Type().Key()):
		return t.entry(container, o)
	case s.kind == reflect.Slice && container.Type().Elem().Kind() != reflect.Uint8:
		return t.element(container, o)
	}
	return false
}

// container goes to what holds the place that an operation is about. All on the way is in the JSON.
func (t *typed) container(o *operation) (at reflect.Value, ok bool) {
	at = t.root
	end := 0
	for _, token := range o.tokens[:len(o.tokens)-1] {
		end += len(separator) + len(token)
		s := shapeOf(at.Type())
		switch {
		case s.members != nil:
			m := s.members[token]
			if m == nil {
				return at, false
			}
			at = m.find(at)
			if m.omitted(at) && !t.history.there(o.path[:end]) {
				return at, false
			}
		case s.kind == reflect.Slice && !s.custom && at.Type().Elem().Kind() != reflect.Uint8:
			i, ok := index(token)
			if !ok || i >= at.Len() {
				return at, false
			}
			at = at.Index(i)
		default:
			return at, false
		}
		if at.Kind() == reflect.Pointer {
			at = at.Elem() // nil becomes the invalid value
		}
		if !at.IsValid() || (at.Kind() == reflect.Slice || at.Kind() == reflect.Map) && at.IsNil() {
			return at, false // null in JSON
		}
	}
	return at, true
}

// index reads an index as everybody writes it.
func index(token string) (int, bool) {
	if token == "" || token[0] < '0' || token[0] > '9' || len(token) > 1 && token[0] == '0' {
		return 0, false
	}
	i, err := strconv.Atoi(token)
	return i, err == nil
}

// member applies an operation to a struct's member.
func (t *typed) member(container reflect.Value, s *shape, o *operation) bool {
	m := s.members[o.last()]
	if m == nil {
		return false
	}
	at := m.find(container)
	switch o.kind {
	case test:
		return !m.omitted(at) && shapeOf(at.Type()).scalar() && o.matches(at.Interface())
	case remove:
		if m.omitted(at) {
			return false
		}
		at.SetZero()
		t.history.note(written{path: o.path, opaque: true})
		return true
	}
	value, ok := decode(o.value, at.Type())
	if !ok {
		return false
	}
	at.Set(value)
	t.history.note(t.wrote(o, value))
	return true
}

// wrote is what is to be remembered of a value that has been set.
func (t *typed) wrote(o *operation, value reflect.Value) written {
	w := written{path: o.path, opaque: !shapeOf(value.Type()).scalar()}
	if kind := value.Kind(); kind != reflect.Map && kind != reflect.Slice || value.IsNil() || shapeOf(value.Type()).custom {
		return w
	}
	w.there = true
	if value.Len() == 0 {
		w.opaque = value.Kind() == reflect.Slice // what is appended may be
	} else if shapeOf(value.Type().Elem()).plainString() {
		w.opaque = bytes.Contains(o.value, []byte("null")) // it would be taken for an empty string
	}
	return w
}

// entry applies an operation to a map's entry.
func (t *typed) entry(container reflect.Value, o *operation) bool {
	if container.IsNil() {
		return false
	}
	of := container.Type()
	var key reflect.Value
	if of.Key() == reflect.TypeFor[string]() {
		key = reflect.ValueOf(o.last())
	} else {
		key = reflect.ValueOf(o.last()).Convert(of.Key())
	}
	found := container.MapIndex(key)
	switch o.kind {
	case test:
		return found.IsValid() && shapeOf(of.Elem()).scalar() && o.matches(found.Interface())
	case remove:
		if !found.IsValid() {
			return false
		}
		container.SetMapIndex(key, reflect.Value{})
		t.history.note(written{path: o.path})
		if container.Len() == 0 {
			t.history.note(written{path: o.parent(), there: true})
		}
		return true
	}
	value, ok := decode(o.value, of.Elem())
	if !ok {
		return false
	}
	container.SetMapIndex(key, value)
	t.history.note(t.wrote(o, value))
	return true
}

// element applies an operation to a list's element.
func (t *typed) element(container reflect.Value, o *operation) bool {
	of, n := container.Type(), container.Len()
	i, ok := index(o.last())
	if o.kind == add && o.last() == "-" {
		i, ok = n, true
	}
	if !ok || i > n || i == n && o.kind != add || !container.CanSet() {
		return false
	}
	transparent := shapeOf(of.Elem()).scalar()
	switch o.kind {
	case test:
		return transparent && o.matches(container.Index(i).Interface())
	case remove:
		reflect.Copy(container.Slice(i, n), container.Slice(i+1, n))
		container.Index(n - 1).SetZero()
		container.SetLen(n - 1)
	default:
		value, ok := decode(o.value, of.Elem())
		if !ok {
			return false
		}
		if o.kind == add {
			container.Set(reflect.Append(container, value))
			reflect.Copy(container.Slice(i+1, n+1), container.Slice(i, n))
		}
		container.Index(i).Set(value)
	}
	t.history.note(written{path: o.parent(), opaque: !transparent, there: true})
	return true
}

// differ reports whether two structs of one type differ where tokens lead, or before they get there.
func differ(a, b reflect.Value, tokens []string) bool {
	for _, token := range tokens {
		s := shapeOf(a.Type())
		if s.members == nil {
			break
		}
		m := s.members[token]
		if m == nil {
			break
		}
		a, b = m.find(a), m.find(b)
		if a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil() {
			a, b = a.Elem(), b.Elem()
		}
	}
	switch of := a.Interface().(type) {
	case string:
		return of != b.Interface().(string)
	case map[string]string:
		return !maps.Equal(of, b.Interface().(map[string]string))
	}
	return !apiequality.Semantic.DeepEqual(a.Interface(), b.Interface())
}
